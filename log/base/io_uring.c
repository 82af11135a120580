/* SPDX-License-Identifier: Apache-2.0 */
#include "io_posix.h"
enum err io_uring_new(struct io **ret_io)
{
	(void)ret_io;
	return err_note(ERR_UNSUPPORTED, "I/O backend uring");
}
