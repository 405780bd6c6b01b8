"""A first set of files: it works as it is, watches, and does nothing (`init`)."""

from __future__ import annotations

from datetime import date

from rollbackd.authoring.folders import File
from rollbackd.authoring.kinds import KINDS
from rollbackd.authoring.schema import text
from rollbackd.authoring.writing import modeline, shadow_since

SCHEMAS = "schema"
"""The folder for schemas, beside rollbackd.yml. Editors find them there without a network, and a copy of
the folder, or a clone of the repository that it lies in, takes them along."""

_MAIN = """\
# The daemon: what it asks, whom it tells, how far it may go. `rollbackd check` reads it as the daemon does.
version: rollbackd/v1
instance: first # the name of this daemon in pages and metrics
prometheus:
  urls: ["http://127.0.0.1:9090"] # yours; several are asked in this order
max_action: shadow # nothing acts, whatever a trigger says: fires are judged and recorded
state_dir: state # the record; /var/lib/rollbackd where it runs as a service
# Triggers are read from triggers/*.yml, plans from plans/*/plan.yml, both beside this file.

# Before max_action may be higher, somebody must be told:
# receivers:
#   - name: oncall
#     alertmanager: {urls: ["http://127.0.0.1:9093"]}
# notify: [oncall]
"""

_TRIGGERS = """\
# When a change counts as bad. Each trigger is judged once an interval, for each subject on its own.
version: rollbackd/v1
groups:
  - name: app
    interval: 15s # one window; no shorter than Prometheus scrapes
    triggers:
      - trigger: AppErrorRatioHigh
        category: metric
        severity: critical # means `auto`: rolls back by itself, once `action` and max_action let it
        # Remove this line when its fires have been right for a while:
        action: shadow # SINCE
        ratio: # no errors while there is traffic is 0; too little traffic proves nothing
          errors: sum by (version) (rate(http_requests_total{job="app",code=~"5.."}[1m]))
          total: sum by (version) (rate(http_requests_total{job="app"}[1m]))
          min_total: 1 # requests a second
        breach: "> 0.01"
        windows: 8 # in a row: 2 minutes
        per: [version] # each version has a streak of its own; the expressions must keep the label
        initial_delay: 1m # after `rollbackd rollout begin`: starting up is not failing
        plan: app
        annotations:
          summary: More than 1 % of the requests fail.
"""

_TESTS = """\
# What the triggers must do. `rollbackd test triggers/app.test.yml` runs it; the daemon does not read it.
version: rollbackd/v1
triggers: [app.yml]
tests:
  - name: eight bad windows in a row fire
    trigger: AppErrorRatioHigh
    subject: {version: "2"}
    readings: 0 0.02x7 # one a window; promtool's notation: 0.02x7 are eight of it
    traffic: 9x8
    expect: {fires: [9]}
  - name: one good window begins the count anew
    trigger: AppErrorRatioHigh
    subject: {version: "2"}
    readings: 0.02x6 0 0.02x6
    traffic: 9x14
    expect: {fires: []}
  - name: windows without data are kept, never counted
    trigger: AppErrorRatioHigh
    subject: {version: "2"}
    readings: 0.02x3 _x2 0.02x3
    traffic: 9x3 _x2 9x3
    expect: {fires: [10]}
  - name: too little traffic is no breach
    trigger: AppErrorRatioHigh
    subject: {version: "2"}
    readings: 1x11
    traffic: 0.5x11
    expect: {fires: []}
"""

_PLAN = """\
# What is done when a trigger fires, in order, and what proves that it helped.
version: rollbackd/v1
plan: app
owner: who answers for this plan
level: 2 # verified within 30 minutes of the decision, or people are told; what 3 asks for: `init plan`
services: [app] # what it takes hold of: no two rollbacks run on one service
summary: The app back to its previous version
needs_previous: true # where nobody said which version that is: ask, do not act
safety_checks: # one that fails, or cannot tell, lowers the action to `ask`
  - {check: previous-is-there, run: [./scripts/previous-is-there.sh]}
phases:
  - phase: revert
    estimate: 2m
    steps:
      - step: previous-version
        run: [./scripts/previous-version.sh]
        timeout: 5m
        # repeatable: true   # where it is safe to run again if nobody can tell whether it ran
verification: # beside the trigger itself, which must be ok again for three windows
  - check: error-ratio
    expr: sum(rate(http_requests_total{job="app",code=~"5.."}[1m])) or vector(0)
    pass: "< 0.1"
"""

_PREVIOUS = """\
#!/usr/bin/env bash
# Exit 0 where the version to go back to can be installed. ROLLBACK_PREVIOUS_VERSION says which it is.
set -euo pipefail
echo "to be written: can ${ROLLBACK_PREVIOUS_VERSION:-the previous version} be installed?" >&2
exit 1 # until then nothing happens without a person
"""

_REVERT = """\
#!/usr/bin/env bash
# Undo the release. It may be stopped at any point, and sees ROLLBACK_ID, ROLLBACK_SUBJECTS, ROLLBACK_REASON…
set -euo pipefail
# kubectl rollout undo deployment/app && kubectl rollout status deployment/app --timeout=120s
echo "to be written: go back to ${ROLLBACK_PREVIOUS_VERSION:-the previous version}" >&2
exit 1 # a rollback that does nothing must not look like one
"""

NEXT = (
    ("rollbackd check", "what is wrong with the files"),
    ("rollbackd test triggers/app.test.yml", "what the triggers would do, without Prometheus"),
    ("rollbackd backtest triggers/app.yml", "when they would have fired in your own past"),
    ("rollbackd run --config rollbackd.yml", "watches, and does nothing: max_action is shadow"),
)
"""Commands in the folder, and what they tell."""


def first_set(today: date) -> list[File]:
    """The files, which pass `check --strict`."""
    triggers = _TRIGGERS.replace("SINCE", shadow_since(today))
    return [
        File("rollbackd.yml", modeline(f"{SCHEMAS}/config.json") + _MAIN),
        File("triggers/app.yml", modeline(f"../{SCHEMAS}/trigger.json") + triggers),
        File("triggers/app.test.yml", modeline(f"../{SCHEMAS}/test.json") + _TESTS),
        File("plans/app/plan.yml", modeline(f"../../{SCHEMAS}/plan.json") + _PLAN),
        File("plans/app/scripts/previous-is-there.sh", _PREVIOUS, program=True),
        File("plans/app/scripts/previous-version.sh", _REVERT, program=True),
        *schemas(),
    ]


def schemas() -> list[File]:
    """What the modelines name."""
    return [File(f"{SCHEMAS}/{kind}.json", text(kind)) for kind in KINDS]
