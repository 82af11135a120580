/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which process listens on a TCP port of this machine, as far as /proc shows it to this user. */
#include "log/base/base.h"

/* address: "HOST:PORT". False where it cannot be known. */
bool port_owner(const char *address, long *ret_pid);
