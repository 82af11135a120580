/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One server and one client of it, for test programs that need no more. Set-up and teardown of
 * cmocka; both are new for each test.
 */
#include "test/lib/kafka_calls.h"

extern struct kafka_server server;
extern struct kafka_client c;
extern const char *pair_backend; /* "uring"; before a start */

int pair_start(void **state);
int pair_stop(void **state);
/* The same data, served again with other options (NULL = defaults), and a new connection. */
void pair_restart(const struct broker_options *options);
/* The same as after kill -9 at this moment: what goes on is a copy of the running directory. */
void pair_crash(const struct broker_options *options);
