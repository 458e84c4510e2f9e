#!/usr/bin/env bash
# A Slurm cluster on one machine, to try `executor: slurm` with: a controller and virtual nodes, all in one folder and
# on free ports, beside whatever Slurm this machine may belong to. Needs root, and slurmctld, slurmd, munge
# (make slurm).
#
#   deploy/slurm/one-machine.sh start DIR [NODES]    then: export SLURM_CONF=DIR/slurm.conf
#   deploy/slurm/one-machine.sh stop DIR             ends its jobs and daemons; DIR stays
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"
what=${1:?start or stop}
mkdir -p "${2:?a folder}"
dir=$(cd "$2" && pwd)
export SLURM_CONF="$dir/slurm.conf"

ports() { # so many free ones
    python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*[one.getsockname()[1] for one in held])
PYTHON
}

configure() { # for so many nodes
    local host numbers node port
    host=$(hostname -s)
    read -r -a numbers <<<"$(ports $(($1 + 1)))"
    {
        cat <<CONF
ClusterName=one-machine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${numbers[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its old credential is void: 120 s unless said.
AuthInfo=socket=$dir/munge.socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmctldPidFile=$dir/slurmctld.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdPidFile=$dir/%n/slurmd.pid
SlurmdLogFile=$dir/%n/slurmd.log
SlurmdSpoolDir=$dir/%n
# No cgroups: a container has none to give.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
# Virtual nodes may say that they have more than the machine has.
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
KillWait=10
CONF
        for node in $(seq 1 "$1"); do
            port=${numbers[$node]}
            echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$port CPUs=2 RealMemory=1000 Gres=gpu:1 State=UNKNOWN"
        done
        echo "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
    } >"$SLURM_CONF"
    echo "NodeName=n[1-$1] Name=gpu File=/dev/null" >"$dir/gres.conf" # a stand-in: nothing is ever read from it
}

start() {
    local nodes=${1:-3} node
    [ "$(id -u)" = 0 ] || { echo "one-machine.sh needs root" >&2; exit 1; }
    for command in munged slurmctld slurmd sbatch; do
        command -v $command >/dev/null || { echo "there is no $command here: make slurm" >&2; exit 1; }
    done
    mkdir -p "$dir/state"
    configure "$nodes"
    (umask 077 && head -c 128 /dev/urandom >"$dir/munge.key")
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munge.pid" \
        --log-file="$dir/munge.log" --seed-file="$dir/munge.seed" 2>>"$dir/start.log"
    slurmctld -f "$SLURM_CONF" >>"$dir/start.log" 2>&1
    for node in $(seq 1 "$nodes"); do
        mkdir -p "$dir/n$node"
        slurmd -N "n$node" -f "$SLURM_CONF" >>"$dir/start.log" 2>&1
    done
    for _ in $(seq 1 150); do
        [ "$(sinfo --noheader --states=idle --format=%D 2>/dev/null | head -n 1)" = "$nodes" ] && { echo "$SLURM_CONF"; return; }
        sleep 0.2
    done
    echo "the nodes did not come up; see the logs in $dir" >&2
    stop
    exit 1
}

alive() { # a zombie is not
    [ -e "/proc/$1/status" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

stop() {
    local file pid mine
    if [ -e "$dir/slurmctld.pid" ]; then
        squeue --noheader --format=%A 2>/dev/null | sort -u | xargs -r scancel 2>/dev/null || true
        for _ in $(seq 1 100); do
            [ -z "$(squeue --noheader 2>/dev/null)" ] && break
            sleep 0.2
        done
    fi
    for file in "$dir"/n*/slurmd.pid "$dir/slurmctld.pid" "$dir/munge.pid"; do
        [ -e "$file" ] || continue
        pid=$(cat "$file")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 1 50); do
            alive "$pid" || break
            sleep 0.1
        done
        ! alive "$pid" || kill -9 "$pid" 2>/dev/null || true
        rm -f "$file"
    done
    for file in /proc/[0-9]*/environ; do # what a task left, and steps that wait for ever for their node
        pid=${file#/proc/} && pid=${pid%/environ}
        mine=$(tr '\0' '\n' 2>/dev/null <"$file" | grep -cxF "SLURM_CONF=$SLURM_CONF") || continue
        if [ "$mine" != 0 ] && { [ "$(cat "/proc/$pid/comm")" = slurmstepd ] || tr '\0' '\n' <"$file" | grep -q '^SLURM_JOB_ID='; }; then
            kill -9 "$pid" 2>/dev/null || true
        fi
    done 2>/dev/null
}

case $what in
start) start "${3:-3}" ;;
stop) stop ;;
*) echo "start or stop, not $what" >&2; exit 2 ;;
esac
