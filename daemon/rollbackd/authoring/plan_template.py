"""A plan to be filled in (`init plan`): in eight phases, whose scripts fail until written."""

from __future__ import annotations

import re

from rollbackd.authoring.first import SCHEMAS
from rollbackd.authoring.folders import File
from rollbackd.authoring.names import MOST, name_from
from rollbackd.authoring.writing import dump, modeline

_PLAN = """\
# How NAME goes back to what it was. This is a beginning: keep what fits, remove the rest.
# Until its scripts are written each of them fails, and so nothing happens without a person.
version: rollbackd/v1
plan: PLAIN
owner: who answers for this plan
level: 3 # verified within 15 minutes of the decision; 2 allows 30, 4 takes regions, a gate and 10
type: application # or database, infrastructure, configuration, workflow
operation: the change that it undoes
permit: what allowed the change
risk: what may be lost on the way back
services: [PLAIN, DATABASE] # what it takes hold of: no two rollbacks run on one service
summary: NAME back to its previous version
# notify: [chat] # told of each turn: receivers of rollbackd.yml
needs_previous: true # where nobody said which version that is: ask, do not act

capture: # put aside before a rollout begins; scripts find it in $ROLLBACK_CAPTURE_DIR/ITEM/
  - {name: versions, run: [./scripts/capture/versions.sh], timeout: 1m}
  - {name: configuration, run: [./scripts/capture/configuration.sh], timeout: 1m}
  - {name: backup, run: [./scripts/capture/backup.sh], timeout: 30m} # its SHA-256 is compared before use
  - {name: rows, run: [./scripts/capture/rows.sh], timeout: 1m} # prints one number: a baseline for checks
release: {run: [./scripts/release.sh], timeout: 10s} # prints what runs now
safety_checks: # before anything is done; one that fails, or cannot tell, lowers the action to `ask`
  - {check: backup-is-there, run: [./scripts/checks/backup-is-there.sh], timeout: 1m}
  - {check: previous-is-healthy, run: [./scripts/checks/previous-is-healthy.sh], timeout: 30s}
  - {check: rehearsed, evidence: rehearsal, within: 30d} # of the plan as it is: `rollbackd evidence add`
reversible_while: # the point of no return: exit 0 may undo, 20 no longer, anything else cannot tell
  run: [./scripts/reversible.sh]
  timeout: 15s
  guards: [database]
  # alternative_plan: NAME-forward # what is done instead
  description: |
    Which migration cannot be undone, and what is done past it: a compensating migration, the data that it
    concerns, a release that fits.

phases: # 10 minutes, and what it takes to verify: `rollbackd check --plans` adds it up
  - phase: preparation
    estimate: 2m
    steps:
      - {step: ready, run: [./scripts/ready.sh], timeout: 3m, repeatable: true}
  - phase: stop-traffic
    estimate: 1m
    steps:
      - {step: drain, run: [./scripts/drain.sh], timeout: 2m, repeatable: true}
  - phase: database
    estimate: 3m
    steps:
      - step: restore
        run: [./scripts/restore.sh]
        timeout: 6m
        interrupt: never # half of it helps nobody: past its time it pages
        probe: [./scripts/is-restored.sh] # 0 done, 20 not done: asked where nobody can tell whether it ran
  - phase: application
    estimate: 2m
    steps:
      - {step: previous-version, run: [./scripts/previous-version.sh], timeout: 4m, retry: {attempts: 2}}
  - phase: cache
    estimate: 1m
    on_failure: continue # stale for a while is better than nothing
    steps:
      - {step: flush, run: [./scripts/flush.sh], timeout: 1m, repeatable: true}
  - phase: return-traffic
    estimate: 1m
    steps:
      - {step: admit, run: [./scripts/admit.sh], timeout: 2m, repeatable: true}
  # The seventh is `verification`, below: not a step, it must hold for a while.
  - phase: clean-up
    after: verified # outside the SLA; if it fails, people are told and nothing is taken back
    estimate: 2m
    steps:
      - {step: remove-new, run: [./scripts/remove-new.sh], timeout: 5m, repeatable: true}

scopes: # what can be rolled back by itself; where that is not enough, all of it follows
  application:
    phases: [stop-traffic, application, cache, return-traffic]
    services: [PLAIN]
    widen_to: all
    summary: The schema is right, the application is not
  database:
    phases: [preparation, database, cache]
    services: [DATABASE]
    summary: The application works, its data does not

verification: # what must pass, beside the trigger itself
  - {check: version, kind: version, run: [./scripts/checks/version.sh], timeout: 15s}
  - {check: schema, kind: schema, run: [./scripts/checks/schema.sh], timeout: 15s}
  - {check: health, kind: health, expr: 'min(up{job="NAME"})', pass: "== 1"}
  - check: error-ratio
    kind: metrics
    expr: '(sum(rate(http_requests_total{job="NAME",code=~"5.."}[1m])) or vector(0)) \
/ sum(rate(http_requests_total{job="NAME"}[1m]))'
    pass: "< 0.001"
  - {check: functional, kind: functional, run: [./scripts/checks/functional.sh], timeout: 1m}
  - check: data-consistency
    kind: data_consistency
    run: [./scripts/checks/data.sh]
    timeout: 1m
    on_fail: warn # told of, and decides nothing; at level 4 it must be able to fail
settle: 1m # after the last step, before what is read counts: the longest range above
manual_verification: # ticked by a person: `rollbackd tick ID 1`
  - {item: Signing in works, owner: product}
  - {item: "What matters most works from end to end: sign-up, checkout", owner: product}
  - {item: No dashboard shows a rise in errors, owner: operations}
  - {item: Support has no new complaints, owner: support}
  - {item: Queries return what they should, owner: database}
  - {item: Caches hit as often as before, owner: operations}
  - {item: All instances run and are ready, owner: operations}
  - {item: The load balancer sends traffic where it should, owner: operations}
  - {item: Certificates are valid, owner: operations}
  - {item: What others provide is reached, owner: operations}

validation: # looked at on, for a day after success; a check that fails twice pages
  immediate: # 15 minutes
    checks:
      - {check: answers, expr: 'min(up{job="NAME"})', pass: "== 1"}
      - check: errors
        expr: 'sum(rate(http_requests_total{job="NAME",code=~"5.."}[5m])) or vector(0)'
        pass: "< 0.1"
      - {check: rows, kind: data_consistency, run: [./scripts/checks/data.sh], timeout: 1m, every: 5m}
    items:
      - {item: Logs show nothing new, owner: operations}
      - {item: Latency and throughput are what they were, owner: operations}
      - {item: References in the data hold, owner: database}
  short_term: # an hour
    checks:
      - {check: memory, expr: 'max(process_resident_memory_bytes{job="NAME"})', pass: "< 2000000000"}
      - check: restarts
        expr: 'sum(changes(process_start_time_seconds{job="NAME"}[15m])) or vector(0)'
        pass: "< 1"
    items:
      - {item: "Users, tickets and what is said in public", owner: support}
      - {item: "Conversion, transactions, revenue", owner: product}
      - {item: Nothing that depends on it suffers, owner: operations}
  long_term: # a day
    checks:
      - check: traffic-as-yesterday
        expr: 'sum(rate(http_requests_total{job="NAME"}[30m])) \
/ sum(rate(http_requests_total{job="NAME"}[30m] offset 1d))'
        pass: "> 0.5"
        on_fail: warn
    items:
      - {item: Trends against those before the change, owner: operations}
      - {item: "Data quality, batch jobs, replication", owner: database}
      - {item: Customers know what they should, owner: support}
"""

_SCRIPTS = {
    "capture/versions": "Write what runs now into $ROLLBACK_CAPTURE_DIR: images, tags, schema.",
    "capture/configuration": "Copy the configuration into $ROLLBACK_CAPTURE_DIR.",
    "capture/backup": "Write a backup of the data into $ROLLBACK_CAPTURE_DIR.",
    "capture/rows": "Print one number: how many rows there are of what matters most.",
    "release": "Print the version that runs now.",
    "reversible": "Exit 0 where it can still be undone, 20 where it cannot; any other: nobody can tell.",
    "ready": "Look whether all that the rollback needs is there: backup, images, access.",
    "drain": "Take the traffic away from the new version.",
    "restore": "Bring schema and data back. Stop writes first, and look at the backup's SHA-256.",
    "is-restored": "Exit 0 where schema and data are back, 20 where they are not.",
    "previous-version": "Install ROLLBACK_PREVIOUS_VERSION with its configuration; wait until it is ready.",
    "flush": "Drop what caches remember of the new version.",
    "admit": "Give the previous version its full size and its traffic.",
    "remove-new": "Remove what is left of the new version, and put the logs aside.",
    "checks/backup-is-there": "Pass where the backup is there, whole and recent.",
    "checks/previous-is-healthy": "Pass where the previous version can be installed, and is well.",
    "checks/version": "Pass where the previous version runs, everywhere.",
    "checks/schema": "Pass where the schema has the previous version.",
    "checks/functional": "Pass where what matters most works.",
    "checks/data": "Pass where row counts are those of before the change.",
}


def plan_template(name: str) -> list[File]:
    """The plan's folder, below that of rollbackd.yml. It passes `check --strict`."""
    folder = f"plans/{name}"
    database = name_from(f"{name[: MOST - 9]}-database")
    said = {"DATABASE": database, "PLAIN": dump({"x": name}).removeprefix("x: ").strip(), "NAME": name}
    plan = re.sub("|".join(said), lambda found: said[found[0]], _PLAN)
    files = [File(f"{folder}/plan.yml", modeline(f"../../{SCHEMAS}/plan.json") + plan)]
    for script, text in _SCRIPTS.items():
        files.append(File(f"{folder}/scripts/{script}.sh", _script(text), program=True))
    return files


def _script(purpose: str) -> str:
    return (
        "#!/usr/bin/env bash\n"
        f"# {purpose}\n"
        "# It sees ROLLBACK_ID, ROLLBACK_PREVIOUS_VERSION, ROLLBACK_REASON…\n"
        "set -euo pipefail\n"
        'echo "to be written: $0" >&2\n'
        "exit 1 # until it is written: what does nothing must not look as if it had done something\n"
    )
