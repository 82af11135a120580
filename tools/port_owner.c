/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/port_owner.h"
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

enum { TCP_LISTEN = 10, NAME_BYTES = 64 };

/* "  3: 0100007F:2384 00000000:0000 0A ... 0 0 12345 ...": port and state are hexadecimal. */
static bool listens(const char *line, int64_t port, unsigned long *ret_inode)
{
	unsigned local, state;
	unsigned long inode;
	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own table */
	return sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu",
	           &local, &state, &inode) == 3 &&
	       local == port && state == TCP_LISTEN && (*ret_inode = inode, true);
}

static bool find_inode(const char *table, int64_t port, unsigned long *ret_inode)
{
	char line[512];
	bool found = false;
	FILE *f = fopen(table, "re");
	while (f && !found && fgets(line, sizeof line, f))
		found = listens(line, port, ret_inode);
	if (f)
		fclose(f);
	return found;
}

static bool process_has(const char *pid, const char *socket)
{
	char path[600], target[NAME_BYTES];
	bool found = false;
	snprintf(path, sizeof path, "/proc/%s/fd", pid);
	DIR *dir = opendir(path);
	for (struct dirent *d; dir && !found && (d = readdir(dir));) {
		snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, d->d_name);
		ssize_t n = readlink(path, target, sizeof target - 1);
		target[n > 0 ? n : 0] = 0;
		found = strcmp(target, socket) == 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

bool port_owner(const char *address, long *ret_pid)
{
	const char *colon = strrchr(address, ':');
	unsigned long inode;
	int64_t port, pid = 0;
	char socket[NAME_BYTES];
	if (!colon || !str_to_i64(str_of(colon + 1), &port) ||
	    (!find_inode("/proc/net/tcp", port, &inode) &&
	        !find_inode("/proc/net/tcp6", port, &inode)))
		return false;
	snprintf(socket, sizeof socket, "socket:[%lu]", inode);
	DIR *proc = opendir("/proc");
	bool found = false;
	for (struct dirent *d; proc && !found && (d = readdir(proc));)
		found = str_to_i64(str_of(d->d_name), &pid) && process_has(d->d_name, socket);
	if (proc)
		closedir(proc);
	if (found)
		*ret_pid = (long)pid;
	return found;
}
