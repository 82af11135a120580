/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What every test program includes: cmocka with its prerequisites. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
