/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rights for consumer groups under test that are about something else. */
#include "broker/groups/consumer.h"

bool consumer_may_see_all(struct consumer_group *c, struct str viewer, struct str topic);
uint64_t consumer_rights_stay(struct consumer_group *c);
