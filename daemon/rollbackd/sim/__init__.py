"""The live engine, driver and configuration on a simulated world, where everything goes wrong on purpose.

One seed decides all of it. `happenings` says what will go wrong, `world`, `prometheus`, `host`, `people`
and `disk` are what the daemon lives in, `loop` is its event loop, `run` plays one seed and writes a
`tape`, which `audit` judges without sharing a line with the engine.
"""
