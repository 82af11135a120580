/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The seed of a random test: from the environment or `fallback`, always printed so that a failure
 * can be repeated.
 */
#include <stdint.h>

uint64_t test_seed(uint64_t fallback);
