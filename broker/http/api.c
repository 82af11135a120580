/* SPDX-License-Identifier: Apache-2.0 */
/* The Kafka door's own routes and metrics on the HTTP door. */
#include "broker/http/observe.h"

enum err broker_http_attach(struct broker *b, struct http *http)
{
	TRY(api_topics_routes(b, http));
	TRY(api_records_routes(b, http));
	TRY(api_groups_routes(b, http));
	TRY(api_reset_routes(b, http));
	metric_collector_add(exporter_collect, b);
	return ERR_OK;
}

void broker_http_detach(struct broker *b)
{
	metric_collector_remove(exporter_collect, b);
}
