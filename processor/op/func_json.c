/* SPDX-License-Identifier: Apache-2.0 */
/* jsonb operators over the JSON text. What is absent, or not an object or array, is NULL. */
#include "processor/op/func_list.h"
#include "processor/op/json_text.h"

#define BODY(name)                                                                                 \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)

/* Stores the value as jsonb or as text; ptr NULL is NULL. */
static void store(struct eval *ev, struct vec *out, uint32_t row, struct str value, bool as_text)
{
	if (value.ptr && as_text) {
		enum err e = json_text_as_text(ev->arena, value, &value);
		if (e == ERR_NOMEM)
			ev->fatal = e;
		else if (e != ERR_OK)
			func_fail(ev, out, row, e, "jsonb string cannot be converted to text");
		if (e != ERR_OK)
			return;
	}
	if (value.ptr)
		out->s[row] = value;
	else
		func_null(ev, out, row);
}

static void member(struct eval *ev, const struct vec *args, struct vec *out, bool as_text)
{
	EACH_ROW (ev, out, r)
		store(
		    ev, out, r, json_text_member(arg_s(&args[0], r), arg_s(&args[1], r)), as_text);
}

static void element(struct eval *ev, const struct vec *args, struct vec *out, bool as_text)
{
	EACH_ROW (ev, out, r) {
		struct str doc = arg_s(&args[0], r);
		int64_t index = arg_i(&args[1], r);
		enum json_text_kind kind = json_text_kind(doc);
		/* PostgreSQL sees a scalar as an array of one */
		if (kind != JSON_TEXT_ARRAY && kind != JSON_TEXT_OBJECT &&
		    (index == 0 || index == -1))
			store(ev, out, r, doc, as_text);
		else
			store(ev, out, r, json_text_element(doc, index), as_text);
	}
}

BODY(json_member)
{
	(void)call;
	member(ev, args, out, false);
}

BODY(json_member_text)
{
	(void)call;
	member(ev, args, out, true);
}

BODY(json_element)
{
	(void)call;
	element(ev, args, out, false);
}

BODY(json_element_text)
{
	(void)call;
	element(ev, args, out, true);
}

/* One step of a path: a key of an object, a decimal index of an array. */
static struct str step(struct str doc, struct str name)
{
	int64_t index;
	if (!doc.ptr || json_text_kind(doc) == JSON_TEXT_OBJECT)
		return doc.ptr ? json_text_member(doc, name) : doc;
	return str_to_i64(name, &index) ? json_text_element(doc, index) : (struct str){NULL, 0};
}

/* Reads the next name of '{a,"b c",0}'; false at the end, *ret_bad for a malformed list. */
static bool next_name(struct arena *a, struct str *list, struct str *ret_name, bool *ret_bad)
{
	while (list->len > 0 && list->ptr[0] == ' ')
		*list = str_from(list->ptr + 1, list->len - 1);
	if (list->len == 0)
		return false;
	char *name = arena_alloc(a, list->len);
	size_t n = 0, i = 0;
	bool quoted = list->ptr[0] == '"', closed = !quoted;
	for (i = quoted; name && i < list->len; i++) {
		char c = list->ptr[i];
		if (quoted && c == '"') {
			closed = true;
			i++;
			break;
		}
		if (!quoted && c == ',')
			break;
		if (c == '\\' && ++i == list->len)
			break;
		name[n++] = list->ptr[i];
	}
	while (!quoted && n > 0 && name && name[n - 1] == ' ')
		n--;
	bool more = i < list->len && list->ptr[i] == ',';
	*ret_bad = !name || !closed || (i < list->len && !more) || (more && i + 1 == list->len) ||
	           (!quoted && n == 0);
	*ret_name = str_from(name, n);
	*list = str_from(list->ptr + i + more, list->len - i - more);
	return !*ret_bad;
}

static void path(struct eval *ev, const struct vec *args, struct vec *out, bool as_text)
{
	EACH_ROW (ev, out, r) {
		struct str doc = arg_s(&args[0], r), list = arg_s(&args[1], r), name;
		bool bad = list.len < 2 || list.ptr[0] != '{' || list.ptr[list.len - 1] != '}';
		if (!bad) {
			list = str_from(list.ptr + 1, list.len - 2);
			while (next_name(ev->arena, &list, &name, &bad))
				doc = step(doc, name);
		}
		if (bad)
			func_fail(ev, out, r, ERR_BAD_VALUE, "malformed path: write '{key,0,key}'");
		else
			store(ev, out, r, doc, as_text);
	}
}

BODY(json_path)
{
	(void)call;
	path(ev, args, out, false);
}

BODY(json_path_text)
{
	(void)call;
	path(ev, args, out, true);
}

static void extract_path(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out, bool as_text)
{
	EACH_ROW (ev, out, r) {
		struct str doc = arg_s(&args[0], r);
		for (uint32_t a = 1; a < call->arg_count; a++)
			doc = step(doc, arg_s(&args[a], r));
		store(ev, out, r, doc, as_text);
	}
}

BODY(json_extract_path)
{
	extract_path(ev, call, args, out, false);
}

BODY(json_extract_path_text)
{
	extract_path(ev, call, args, out, true);
}

/* A key of an object or a string element of an array. */
BODY(json_exists)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str doc = arg_s(&args[0], r), key = arg_s(&args[1], r), text;
		bool found = json_text_member(doc, key).ptr != NULL;
		int64_t count = json_text_kind(doc) == JSON_TEXT_ARRAY ? json_text_length(doc) : 0;
		for (int64_t i = 0; i < count && !found; i++) {
			struct str e = json_text_element(doc, i);
			if (json_text_kind(e) == JSON_TEXT_STRING &&
			    json_text_as_text(ev->arena, e, &text) == ERR_OK)
				found = str_equal(text, key);
		}
		out->b[r] = found;
	}
}

BODY(json_typeof)
{
	(void)call;
	static const char *const names[] = {[JSON_TEXT_NONE] = "null",
	    [JSON_TEXT_NULL] = "null",
	    [JSON_TEXT_BOOL] = "boolean",
	    [JSON_TEXT_NUMBER] = "number",
	    [JSON_TEXT_STRING] = "string",
	    [JSON_TEXT_OBJECT] = "object",
	    [JSON_TEXT_ARRAY] = "array"};
	EACH_ROW (ev, out, r)
		out->s[r] = str_of(names[json_text_kind(arg_s(&args[0], r))]);
}

BODY(json_array_length)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str doc = arg_s(&args[0], r);
		if (json_text_kind(doc) == JSON_TEXT_ARRAY)
			out->i[r] = json_text_length(doc);
		else
			func_fail(ev, out, r, ERR_BAD_VALUE, "cannot get array length of a %s",
			    json_text_kind(doc) == JSON_TEXT_OBJECT ? "non-array" : "scalar");
	}
}
