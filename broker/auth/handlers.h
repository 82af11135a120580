/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The handlers of this folder, one per api. */
#include "broker/auth/access.h"

void handle_describe_users(struct request *req);
void handle_alter_users(struct request *req);
void handle_describe_acls(struct request *req);
void handle_create_acls(struct request *req);
void handle_delete_acls(struct request *req);
