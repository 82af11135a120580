/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * log/base: bytes, errors, memory, containers, clock, loop and the I/O seam. No domain word here;
 * it grows only by things that two folders need. This header is the folder's public face.
 */
#include "bytes.h"
#include "diag.h"
#include "err.h"
#include "io.h"
#include "json_write.h"
#include "limits.h"
#include "list.h"
#include "loop.h"
#include "map.h"
#include "mem.h"
#include "metrics.h"
#include "prng.h"
#include "thread.h"
