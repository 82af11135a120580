/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The client's end of a connection to a server under test, on any I/O backend: a descriptor for
 * io_submit (RECV, SEND) and io_close of the same `io`.
 */
#include "log/base/io.h"

/* Connects to 127.0.0.1:port. ERR_CONNECT when nobody listens there. */
MUST_USE enum err test_connect(struct io *io, uint16_t port, int *ret_fd);
