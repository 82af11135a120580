/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How many connections there may be: in all, from one address, and of strangers, who have not said
 * yet who they are. Strangers make room for others: where it is full, the one that has been silent
 * about itself for longest goes. Thread: the loop's.
 */
#include "log/base/base.h"

struct broker;
struct conn;

struct admission {
	struct map peers;      /* host -> struct admission_peer */
	struct list strangers; /* conn->stranger, the oldest first */
	uint32_t stranger_count;
};
void admission_init(struct admission *a);
void admission_release(struct admission *a);
/* Whether one more may come in at all; may close a stranger for it. */
bool admission_has_room(struct broker *b);
/* The connection has its address and is open: LIMIT, NOMEM. */
MUST_USE enum err admission_enter(struct conn *c);
/* It has said who it is. */
void admission_known(struct conn *c);
/* It is gone. */
void admission_leave(struct conn *c);
