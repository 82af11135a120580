/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of the blocking half: listening, addresses, what the other end has taken. */
#include "io_posix.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 1024 };

static void set_option(int fd, int level, int name, int value)
{
	/* only tuning: a socket that refuses the option still works */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

void io_socket_prepare(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

/* A listening socket on one address, or -1 with errno. */
static int listen_on(const struct addrinfo *ai, bool both_families)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
	if (fd < 0)
		return -1;
	/*
	 * a restarted server takes its port back from connections in TIME_WAIT; a live listener
	 * still refuses
	 */
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (ai->ai_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, both_families ? 0 : 1);
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* Tries the addresses of one family; keeps errno of the last failure. */
static int listen_family(const struct addrinfo *list, int family, bool both_families)
{
	int fd = -1;
	for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) {
		if (ai->ai_family == family)
			fd = listen_on(ai, both_families);
	}
	return fd;
}

static uint16_t port_of(const struct sockaddr_storage *sa)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	if (sa->ss_family == AF_INET6) {
		memcpy(&v6, sa, sizeof(v6));
		return ntohs(v6.sin6_port);
	}
	memcpy(&v4, sa, sizeof(v4));
	return ntohs(v4.sin_port);
}

/* ---- local sockets --------------------------------------------------------------------------- */

/* True when the path is a socket that nobody answers at: left behind by one that was killed. */
static bool is_stale(const struct sockaddr_un *sa)
{
	struct stat st;
	if (lstat(sa->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	bool stale =
	    connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int bind_path(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	/* before bind: the name never stands there with more rights */
	if (fchmod(fd, S_IRUSR | S_IWUSR) == 0 &&
	    bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 &&
	    listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static enum err listen_path(const char *path, int *ret_fd)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	if (len >= sizeof(sa.sun_path))
		return err_note(ERR_INVALID,
		    "listen on %s: a local socket's path has at most %zu bytes", path,
		    sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, len + 1);
	int fd = bind_path(&sa);
	if (fd < 0 && errno == EADDRINUSE && is_stale(&sa) && unlink(path) == 0)
		fd = bind_path(&sa);
	else if (fd < 0 && errno != EADDRINUSE)
		return err_sys("listen on %s", path);
	if (fd < 0)
		return err_note(ERR_ADDRESS_IN_USE, "listen on %s", path);
	*ret_fd = fd;
	return ERR_OK;
}

/* ---- seam ------------------------------------------------------------------------------------ */

enum err posix_listen(
    struct io *io, const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port)
{
	(void)io;
	if (host[0] == '/') {
		TRY(listen_path(host, ret_fd));
		*ret_port = 0;
		return ERR_OK;
	}
	char service[8];
	snprintf(service, sizeof(service), "%u", (unsigned)port);
	bool any = host[0] == '\0';
	struct addrinfo hints = {
	    .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(any ? NULL : host, service, &hints, &list);
	if (rc != 0)
		return err_note(
		    ERR_NOT_FOUND, "listen on %s:%u: %s", host, (unsigned)port, gai_strerror(rc));
	/*
	 * a name with both families means IPv4; no host means both, on one IPv6 socket where there
	 * is one
	 */
	errno = EADDRNOTAVAIL;
	int fd = listen_family(list, any ? AF_INET6 : AF_INET, any);
	if (fd < 0 && errno != EADDRINUSE)
		fd = listen_family(list, any ? AF_INET : AF_INET6, false);
	freeaddrinfo(list);
	if (fd < 0)
		return err_sys("listen on %s:%u", host, (unsigned)port);
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
		enum err e = err_sys("listen on %s:%u", host, (unsigned)port);
		close(fd);
		return e;
	}
	*ret_fd = fd;
	*ret_port = port_of(&sa);
	return ERR_OK;
}

enum err posix_address(struct io *io, int fd, bool peer, struct io_address *ret_address)
{
	(void)io;
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(sa);
	int rc = peer ? getpeername(fd, (struct sockaddr *)&sa, &len)
	              : getsockname(fd, (struct sockaddr *)&sa, &len);
	if (rc < 0)
		return err_sys("address of fd %d", fd);
	if (sa.ss_family == AF_UNIX) {
		*ret_address = (struct io_address){.port = 0};
		return ERR_OK;
	}
	struct io_address address = {.port = port_of(&sa)};
	char host[NI_MAXHOST];
	rc = getnameinfo((struct sockaddr *)&sa, len, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
	if (rc != 0)
		return err_note(ERR_SYS, "address of fd %d: %s", fd, gai_strerror(rc));
	/* an IPv4 client on the socket of both families */
	const char *text = strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host;
	snprintf(address.host, sizeof(address.host), "%.63s", text);
	*ret_address = address;
	return ERR_OK;
}

size_t posix_untaken(struct io *io, int fd)
{
	(void)io;
	int len = 0;
	return ioctl(fd, SIOCOUTQ, &len) < 0 || len < 0 ? SIZE_MAX : (size_t)len;
}
