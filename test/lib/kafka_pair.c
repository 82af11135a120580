/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/kafka_pair.h"
#include "test/lib/tempdir.h"

struct kafka_server server;
struct kafka_client c;
const char *pair_backend = "uring";

int pair_start(void **state)
{
	(void)state;
	kafka_server_start(&server, pair_backend, NULL);
	kafka_connect(&c, &server);
	return 0;
}

int pair_stop(void **state)
{
	(void)state;
	kafka_disconnect(&c);
	kafka_server_remove(&server);
	return 0;
}

void pair_restart(const struct broker_options *options)
{
	kafka_disconnect(&c);
	kafka_server_stop(&server);
	kafka_server_start(&server, pair_backend, options);
	kafka_connect(&c, &server);
}

void pair_crash(const struct broker_options *options)
{
	char *copy = tempdir_copy(server.dir);
	kafka_disconnect(&c);
	kafka_server_remove(&server);
	server = (struct kafka_server){.dir = copy};
	kafka_server_start(&server, pair_backend, options);
	kafka_connect(&c, &server);
}
