/* SPDX-License-Identifier: Apache-2.0 */
/* Values that are lists, "delete,compact": what is appended to them and taken from them. */
#include "broker/kafka/handlers.h"

/* Each element is compared to each, and a request may ask for many edits. */
enum { LIST_BYTES_MAX = 1024 };

/* The next element of a comma-separated list; false at its end. */
static bool list_next(struct str *rest, struct str *ret_element)
{
	if (!rest->ptr)
		return false;
	size_t n = 0;
	while (n < rest->len && rest->ptr[n] != ',')
		n++;
	*ret_element = str_from(rest->ptr, n);
	*rest =
	    n < rest->len ? str_from(rest->ptr + n + 1, rest->len - n - 1) : (struct str){NULL, 0};
	return true;
}

static bool list_has(struct str list, struct str element)
{
	struct str e;
	while (list_next(&list, &e)) {
		if (str_equal(e, element))
			return true;
	}
	return false;
}

static void join(struct writer *w, struct str element)
{
	if (w->len > 0)
		write_u8(w, ',');
	write_str(w, element);
}

enum err config_list_edit(
    struct request *req, struct str list, struct str change, bool append, struct str *ret_list)
{
	struct writer w;
	struct str e, rest = list.len ? list : (struct str){NULL, 0};
	if (list.len > LIST_BYTES_MAX || change.len > LIST_BYTES_MAX)
		return err_note(ERR_INVALID_CONFIG, "a list of more than %d bytes", LIST_BYTES_MAX);
	writer_init(&w, 2 * LIST_BYTES_MAX + 2);
	while (list_next(&rest, &e)) {
		if (append || !list_has(change, e))
			join(&w, e);
	}
	rest = change;
	while (append && list_next(&rest, &e)) {
		if (!list_has(list, e))
			join(&w, e);
	}
	enum err err = w.err;
	*ret_list = arena_copy_str(&req->arena, bytes_str(writer_bytes(&w)));
	if (err == ERR_OK && !ret_list->ptr)
		*ret_list = STR("");
	writer_release(&w);
	return err;
}
