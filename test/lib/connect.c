/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/connect.h"

#include "test/lib/sim_io.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum err test_connect(struct io *io, uint16_t port, int *ret_fd)
{
	if (sim_io_is(io))
		return sim_io_connect(io, port, ret_fd);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys("socket");
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/*
	 * the connection is made by the kernel before the server accepts, so this does not wait for
	 * it
	 */
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		enum err e = err_sys("connect to port %u", (unsigned)port);
		close(fd);
		return e;
	}
	*ret_fd = fd;
	return ERR_OK;
}
