#!/bin/sh
# Attempts as a shell script makes them, with the programs of the system. The same
# contract as the C ones: escape.sh list, escape.sh NAME key=value...
# An attempt whose program is not there is held by that, which plain runs show.

held() { printf 'held: %s\n' "$*" | tr '\n' ' '; echo; exit 0; }
escaped() { printf 'ESCAPED: %s\n' "$*"; exit 1; }
look() { printf 'look: %s\n' "$*"; exit 0; }
# cookie WHAT: judges standard input, which was read by WHAT.
cookie() {
	got=$(head -c 200000 | tr -d '\000')
	case $got in
	*"$cookie"*) escaped "$1" ;;
	*) held "$1: ${#got} characters, the cookie is not among them" ;; # never what was read
	esac
}
# succeeds COMMAND...: an escape if the command succeeds.
succeeds() {
	if out=$("$@" 2>&1 </dev/null); then escaped "$* succeeds"; fi
	held "$(printf %s "$out" | head -c 120)"
}

sh_cat() { cat "$secret" 2>&1 | cookie "cat"; }
sh_glob() { cat "$home"/.*/secret "${secret%/*}"/* 2>&1 | cookie "globs"; }
sh_redirect() { { read -r line <"$secret"; printf %s "$line"; } 2>&1 | cookie "redirection"; }
sh_source() { (set -v; . "$secret") 2>&1 | cookie "sourcing"; }
sh_cd() { cd "${secret%/*}" 2>/dev/null && cat secret 2>&1 | cookie "cd"; held "cd"; }
sh_find() { find / -xdev -path /usr -prune -o -name secret -newermt '-1 day' -exec cat {} + 2>/dev/null | cookie "find"; }
sh_proc_root() { cat /proc/[0-9]*/root"$secret" 2>/dev/null | cookie "the roots of processes"; }
sh_proc_cwd() { cat /proc/[0-9]*/cwd/secret 2>/dev/null | cookie "the working directories of processes"; }
sh_proc_environ() {
	for p in /proc/[0-9]*; do
		[ "$p" = "/proc/$$" ] || cat "$p/environ"
	done 2>/dev/null | cookie "the environments of processes"
}
sh_denied() { cat "$denied" 2>&1 | cookie "a denied file"; }
sh_link_loop() { ln -sfn "${secret%/*}" "$dir/l" 2>/dev/null; cat "$dir/l/secret" 2>&1 | cookie "a link"; }
sh_hard_link() { ln -f "$secret" "$dir/h" 2>/dev/null; cat "$dir/h" 2>&1 | cookie "a hard link"; }
sh_copy_archive() { cp -a "${secret%/*}" "$dir/copied" 2>/dev/null; cat "$dir/copied/secret" 2>&1 | cookie "cp -a"; }
sh_tar_absolute() { tar -cPf - "$secret" 2>&1 | cookie "tar"; }
sh_write_ro() { succeeds sh -c "echo x >>'$rofile'"; }
sh_sed_ro() { succeeds sed -i 's/./x/' "$rofile"; }
sh_touch_ro() { succeeds touch "$rofile"; }
sh_rm_outside() { succeeds rm -f "$victim.sh" -- "$readdir/spare"; }
sh_profile() { echo evil >>"$home/.profile"; look "$home/.profile"; }
sh_etc() { succeeds sh -c 'touch /etc/ld.so.agentos && rm -f /etc/ld.so.agentos'; }
sh_suid() { cp /bin/sh "$dir/sh" && chmod 4755 "$dir/sh"; if [ -u "$dir/sh" ]; then escaped "a setuid shell lies in a granted directory"; fi; held "no bit"; }
sh_suid_install() { install -m 6755 /bin/true "$dir/installed"; if [ -u "$dir/installed" ]; then escaped "install makes it setuid"; fi; held "no bit"; }
sh_setcap() { cp /bin/true "$dir/cap" && succeeds setcap cap_sys_admin+ep "$dir/cap"; }
sh_mknod() { succeeds mknod "$dir/mem" c 1 1; }
sh_unshare() { succeeds unshare -Ur true; }
sh_unshare_mount() { succeeds unshare -m true; }
sh_nsenter() { nsenter -t "$pid" -a cat "$secret" 2>&1 </dev/null | cookie "nsenter"; }
sh_nsenter_1() { succeeds nsenter -t 1 -m -n true; }
sh_chroot() { succeeds chroot / /bin/true; }
sh_mount() { mkdir -p "$dir/m" && mount -t tmpfs none "$dir/m" 2>/dev/null && umount "$dir/m" && escaped "mount"; held "mount"; }
sh_losetup() { succeeds losetup -f; }
sh_su() { out=$(su -c 'cat /proc/self/status' root 2>&1 </dev/null); case $out in *"CapEff:	0000000000000000"*) held "no capability" ;; *CapEff:*) escaped "su" ;; esac; held "$out"; }
sh_sudo() { succeeds sudo -n true; }
sh_dmesg() { out=$(dmesg 2>&1); case $? in 0) [ -n "$out" ] && escaped "the log of the kernel" ;; esac; held "$(echo "$out" | head -1)"; }
sh_sysctl() { succeeds sh -c 'v=$(cat /proc/sys/vm/swappiness) && echo "$v" >/proc/sys/vm/swappiness'; }
sh_hostname() { succeeds sh -c 'hostname "$(hostname)"'; }
sh_date() { succeeds date -s "@$(date +%s.%N)"; }
sh_insmod() { out=$(insmod "$dir/none.ko" 2>&1); case $out in *"ermitted"* | *"not found"* | *"denied"* | *"No such file"*) held "$out" ;; esac; escaped "$out"; }
sh_ip_link() { succeeds ip link set lo up; }
sh_kill() { kill -USR1 "$pid" 2>/dev/null; sleep 0.3; look "$never"; }
sh_kill_all() { kill -URG -1 2>/dev/null; sleep 0.3; look "$never"; }
sh_dev_tcp() { bash -c "exec 3<>/dev/tcp/127.0.0.1/$port && head -c 60 <&3" 2>&1 | cookie "/dev/tcp"; }
sh_curl() { curl -s -m 2 "http://169.254.169.254/latest/meta-data/" >/dev/null 2>&1 && escaped "metadata"; held "curl"; }
sh_stay() { (trap '' TERM HUP INT; setsid sh -c "trap '' TERM HUP INT; sleep 10; : $dir" </dev/null >/dev/null 2>&1 &) ; sleep 0.3; look "$never"; }
sh_nohup() { nohup sh -c "sleep 10; : $dir" >/dev/null 2>&1 & sleep 0.3; look "$never"; }
sh_coproc() { bash -c "coproc { trap '' TERM; sleep 10; : $dir; }; disown -a; exit" 2>/dev/null; sleep 0.3; look "$never"; }
sh_systemd() { succeeds systemd-run --user true; }
sh_docker() { succeeds docker ps; }
sh_ulimit() { n=$(ulimit -Hn); [ "$n" = unlimited ] && held unlimited; (ulimit -Hn $((n + 1))) 2>/dev/null && escaped "the hard limit of files is raised"; held "ulimit"; }
sh_fork_bomb() {
	# A shell that cannot fork ends; the one around it counts.
	(
		n=0
		while [ $n -lt $((pids * 4)) ]; do
			sleep 3 &
			n=$((n + 1))
			echo $n >"$dir/n"
		done
	) 2>/dev/null
	n=0
	read -r n <"$dir/n"
	[ "$n" -gt "$pids" ] && escaped "$n processes, the limit is $pids"
	echo "held: $n processes" # without another process
	exit 0
}
sh_yes() { yes "$(head -c 4000 /dev/zero | tr '\000' y)" | head -c $((output * 4)) >&2; escaped "four times the limit was written"; }
sh_dd_disk() { for d in /dev/vda /dev/sda /dev/nvme0n1 /dev/loop0 /dev/zram0; do dd if=$d of=/dev/null bs=512 count=1 2>/dev/null && escaped "$d is read"; done; held "no disk"; }
sh_kmsg() { succeeds sh -c 'echo agentos-escape >/dev/kmsg'; }

hows='stay:survive nohup:survive coproc:survive fork_bomb:bomb yes:bomb kill_all:hazard date:hazard hostname:hazard sysctl:hazard ip_link:hazard etc:hazard kmsg:hazard'

if [ "$1" = list ]; then
	sed -n 's/^sh_\([a-z0-9_]*\)().*/\1/p' "$0" | while read -r n; do
		how=
		for h in $hows; do case $h in "$n":*) how=${h#*:} ;; esac; done
		printf 'sh-%s\tshell\t%s\n' "$(echo "$n" | tr _ -)" "$how"
	done
	exit 0
fi
name=$(echo "${1#sh-}" | tr - _)
shift
for a; do
	k=${a%%=*}
	v=${a#*=}
	case $k in [a-z]*) eval "$k=\$v" ;; esac
done
sh_"$name"
