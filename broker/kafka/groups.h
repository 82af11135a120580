/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The handlers of the group coordinator (broker/groups), one per api. */
#include "broker/kafka/request.h"

void handle_join_group(struct request *req);
void handle_sync_group(struct request *req);
void handle_heartbeat(struct request *req);
void handle_leave_group(struct request *req);
void handle_offset_commit(struct request *req);
void handle_offset_fetch(struct request *req);
void handle_offset_delete(struct request *req);
void handle_list_groups(struct request *req);
void handle_describe_groups(struct request *req);
void handle_delete_groups(struct request *req);
void handle_consumer_group_heartbeat(struct request *req);
void handle_consumer_group_describe(struct request *req);
