/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "broker/kafka/request.h"

void handle_describe_client_quotas(struct request *req);
void handle_alter_client_quotas(struct request *req);
