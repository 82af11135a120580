/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Scans from the loop's side: see scan.c. */
#include "log/log.h"

/* D has moved: scans that wait look again. */
void scans_wake(struct log *log);
