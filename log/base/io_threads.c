/* SPDX-License-Identifier: Apache-2.0 */
#include "io_posix.h"
enum err io_threads_new(struct io **ret_io)
{
	(void)ret_io;
	return err_note(ERR_NOT_YET, "I/O backend threads");
}
enum err io_uring_new(struct io **ret_io)
{
	(void)ret_io;
	return err_note(ERR_NOT_YET, "I/O backend uring");
}
