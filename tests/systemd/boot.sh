#!/usr/bin/env bash
# boot.sh FOLDER [VISIBLE…]: makes this machine again, under FOLDER, and becomes its systemd. What is written
# there is in memory; of the old one it shares the kernel and the network alone. To be run in new mount, PID, UTS,
# IPC and cgroup namespaces, as root. VISIBLE: folders that are needed there, on file systems of their own.
set -euo pipefail
base=$1
shift
mount --make-rprivate /
mount -t tmpfs -o mode=755 machine "$base"
mkdir "$base/upper" "$base/work" "$base/root"
chmod 755 "$base/upper"
root=$base/root
mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" machine "$root"
for folder in "$@"; do
    if [ ! -e "$root$folder/." ] || [ -z "$(ls -A "$root$folder")" ]; then
        mkdir -p "$root$folder"
        mount --bind "$folder" "$root$folder"
        mount -o remount,bind,ro "$root$folder"
    fi
done

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
groups=/sys/fs/cgroup
if [ "$(stat -f -c %T "$groups")" = cgroup2fs ]; then
    mount -t cgroup2 cgroup2 "$root$groups"
else # systemd's hybrid: processes in the second version, pids counted by the first
    mount -t tmpfs -o mode=755 groups "$root$groups"
    mkdir "$root$groups"/{unified,systemd,pids}
    mount -t cgroup2 cgroup2 "$root$groups/unified"
    mount -t cgroup -o none,name=systemd groups "$root$groups/systemd"
    mount -t cgroup -o pids groups "$root$groups/pids"
    mount -o remount,ro "$root$groups"
fi

mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t tmpfs -o mode=755 run "$root/run"

# None of this machine's own units, mounts and logs.
etc=$root/etc
rm -rf "$etc/systemd/system" "$etc/rollbackd" "$root/var/lib/rollbackd"
mkdir -p "$etc/systemd/system" "$etc/systemd/journald.conf.d" "$etc/sysusers.d" "$etc/tmpfiles.d"
: >"$etc/fstab"
ln -sf /dev/null "$etc/tmpfiles.d/tmp.conf" # would empty /tmp, where this tree may be
rm -f "$etc/machine-id"
tr -d - </proc/sys/kernel/random/uuid >"$etc/machine-id"
printf '%s\n' '[Journal]' Storage=volatile RateLimitIntervalSec=0 ReadKMsg=no Audit=no \
    >"$etc/systemd/journald.conf.d/machine.conf"
printf '%s\n' '[Unit]' Requires=basic.target After=basic.target >"$etc/systemd/system/machine.target"

cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 container=rollbackd-tests \
    /lib/systemd/systemd --unit=machine.target --log-target=journal --show-status=no
