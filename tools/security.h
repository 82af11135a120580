/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The keys about who may come in and how, as the broker takes them. */
#include "tools/listeners.h"

/* Fills in what the broker has to know, of each listener its TLS. INVALID_CONFIG. */
MUST_USE enum err security_options(
    const struct config *c, struct listeners *l, struct broker_options *options);
