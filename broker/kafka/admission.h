/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How many connections there may be: in all, from one address, and of strangers, who have not said
 * yet who they are. Strangers make room for others: where it is full, the one that has sent nothing
 * for longest goes, but none whose credentials are being decided. While those are all there are,
 * who comes next waits at the door. Thread: the loop's.
 */
#include "log/base/base.h"

struct broker;
struct conn;

struct admission {
	struct map peers;      /* host -> struct admission_peer */
	struct list strangers; /* conn->stranger, the one silent for longest first */
	uint32_t stranger_count;
};
void admission_init(struct admission *a);
void admission_release(struct admission *a);
enum admission_verdict { ADMISSION_YES, ADMISSION_NO, ADMISSION_WAIT };
/* Whether one more may come in, a stranger or not; may close a stranger for it. */
enum admission_verdict admission_has_room(struct broker *b, bool stranger);
/* Something has come from it. */
void admission_heard(struct conn *c);
/* The connection has its address and is open: LIMIT, NOMEM. */
MUST_USE enum err admission_enter(struct conn *c);
/* It has said who it is. */
void admission_known(struct conn *c);
/* It is gone. */
void admission_leave(struct conn *c);
