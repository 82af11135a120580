/* SPDX-License-Identifier: Apache-2.0 */
#include "log/scan.h"
void scans_wake(struct log *log)
{
	(void)log;
}
