/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the Kafka message schema (the .msg files of broker/kafka/schema) and writes, by its first
 * argument, header   messages.h: one struct per message and nested structure, the api keys tables
 * message_tables.h: the field tables that drive decode, encode, print and compare doc
 * broker/PROTOCOL.md
 *
 * Grammar, line by line, nesting by tabs, '#' starts a comment:
 *   api NAME KEY versions A-B flexible F|none     then `request` and `response`, each with fields
 *   data NAME versions A-B flexible F|none        fields follow directly
 *   <tabs>NAME TYPE VERSIONS [null VERSIONS] [default VALUE] [tag N]
 * TYPE is bool int8 int16 int32 int64 float64 uuid string bytes records (one slice, borrowed) or
 * slices (many, sent without copying), or a word that names a nested structure whose fields follow
 * one tab deeper; [] before it makes an array. VERSIONS is N, A-B or A+. A tagged field is in the
 * tagged section of flexible versions.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIELDS_MAX = 40,
	STRUCTS_MAX = 400,
	APIS_MAX = 120,
	NAME_LEN = 64,
	WORDS_MAX = 12,
	DEPTH_MAX = 6
};

struct range {
	int from, to; /* to = 127: open; from > to: none */
};
struct field {
	char name[NAME_LEN];
	char type[NAME_LEN];
	bool array;
	struct range versions, nullable;
	bool default_null;
	long long default_number;
	int tag;    /* -1 = none */
	int nested; /* index into structs, -1 = primitive */
};
struct structure {
	char c_name[2 * NAME_LEN];
	struct field field[FIELDS_MAX];
	int field_count;
};
struct api {
	char name[NAME_LEN], snake[NAME_LEN];
	int key; /* -1 = data */
	struct range versions;
	int flexible;          /* 127 = never */
	int request, response; /* indexes into structs; data: request only */
};

static struct structure structs[STRUCTS_MAX];
static int struct_count;
static struct api apis[APIS_MAX];
static int api_count;
static const char *file_name;
static int line_number;

static _Noreturn void __attribute__((format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list ap;
	fprintf(stderr, "%s:%d: ", file_name ? file_name : "gen_kafka", line_number);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void copy_name(char *to, const char *from)
{
	if (snprintf(to, NAME_LEN, "%s", from) >= NAME_LEN)
		fail("name too long: %s", from);
}

/* ---- types ----------------------------------------------------------------------------------- */

static const struct type {
	const char *name, *c_type, *constant;
	bool number;
} types[] = {
    {"bool", "bool ", "MSG_BOOL", true},
    {"int8", "int8_t ", "MSG_I8", true},
    {"int16", "int16_t ", "MSG_I16", true},
    {"int32", "int32_t ", "MSG_I32", true},
    {"int64", "int64_t ", "MSG_I64", true},
    {"float64", "double ", "MSG_F64", true},
    {"uuid", "struct log_uuid ", "MSG_UUID", false},
    {"string", "struct str ", "MSG_STRING", false},
    {"bytes", "struct bytes ", "MSG_BYTES", false},
    {"records", "struct bytes ", "MSG_RECORDS", false},
    {"slices", "struct msg_slices ", "MSG_SLICES", false},
};

static const struct type *type_find(const char *name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	}
	return NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static long long parse_number(const char *s)
{
	char *end;
	if (strcmp(s, "true") == 0)
		return 1;
	if (strcmp(s, "false") == 0)
		return 0;
	long long v = strtoll(s, &end, 10);
	if (*end || end == s)
		fail("not a number: %s", s);
	return v;
}

static struct range parse_range(const char *s)
{
	struct range r = {1, 0};
	char *end;
	r.from = r.to = (int)strtol(s, &end, 10);
	if (end == s)
		fail("not a version range: %s", s);
	if (strcmp(end, "+") == 0)
		r.to = 127;
	else if (*end == '-')
		r.to = (int)parse_number(end + 1);
	else if (*end)
		fail("not a version range: %s", s);
	if (r.from > r.to)
		fail("empty version range: %s", s);
	return r;
}

/* Splits at blanks; returns the number of words and the count of leading tabs. */
static int split(char *line, char **word, int *ret_tabs)
{
	int n = 0, tabs = 0;
	char *hash = strchr(line, '#');
	if (hash)
		*hash = 0;
	while (line[tabs] == '\t')
		tabs++;
	for (char *p = line + tabs; *p;) {
		size_t blanks = strspn(p, " \t\n");
		size_t len = strcspn(p + blanks, " \t\n");
		if (len > 0 && n == WORDS_MAX)
			fail("too many words");
		if (len > 0)
			word[n++] = p + blanks;
		p += blanks + len;
		if (*p)
			*p++ = 0;
	}
	*ret_tabs = tabs;
	return n;
}

static int struct_new(const char *c_name)
{
	if (struct_count == STRUCTS_MAX)
		fail("too many structures");
	for (int i = 0; i < struct_count; i++) {
		if (strcmp(structs[i].c_name, c_name) == 0)
			fail("structure %s is there already", c_name);
	}
	snprintf(structs[struct_count].c_name, sizeof(structs[0].c_name), "%s", c_name);
	return struct_count++;
}

static void snake_case(char *to, const char *name)
{
	size_t n = 0;
	for (const char *p = name; *p; p++) {
		if (isupper((unsigned char)*p) && p != name)
			to[n++] = '_';
		to[n++] = (char)tolower((unsigned char)*p);
		if (n + 2 >= NAME_LEN)
			fail("name too long: %s", name);
	}
	to[n] = 0;
}

static void parse_api(char **word, int n)
{
	bool is_api = strcmp(word[0], "api") == 0;
	int at = is_api ? 3 : 2;
	if (n != at + 4 || strcmp(word[at], "versions") != 0 ||
	    strcmp(word[at + 2], "flexible") != 0)
		fail("expected: api NAME KEY versions A-B flexible F, or data NAME versions A-B "
		     "flexible F");
	if (api_count == APIS_MAX)
		fail("too many apis");
	struct api *a = &apis[api_count++];
	copy_name(a->name, word[1]);
	snake_case(a->snake, word[1]);
	a->key = is_api ? (int)parse_number(word[2]) : -1;
	a->versions = parse_range(word[at + 1]);
	a->flexible = strcmp(word[at + 3], "none") == 0 ? 127 : (int)parse_number(word[at + 3]);
	a->request = a->response = -1;
	if (!is_api)
		a->request = struct_new(a->snake);
}

static int parse_body(const char *direction)
{
	if (api_count == 0 || apis[api_count - 1].key < 0)
		fail("%s outside an api", direction);
	struct api *a = &apis[api_count - 1];
	char c_name[2 * NAME_LEN];
	snprintf(c_name, sizeof(c_name), "%s_%s", a->snake, direction);
	int s = struct_new(c_name);
	if (strcmp(direction, "request") == 0)
		a->request = s;
	else
		a->response = s;
	return s;
}

static void parse_options(struct field *f, char **word, int n)
{
	for (int i = 3; i < n; i += 2) {
		if (i + 1 == n)
			fail("option %s has no value", word[i]);
		if (strcmp(word[i], "null") == 0)
			f->nullable = parse_range(word[i + 1]);
		else if (strcmp(word[i], "tag") == 0)
			f->tag = (int)parse_number(word[i + 1]);
		else if (strcmp(word[i], "default") != 0)
			fail("unknown option %s", word[i]);
		else if (strcmp(word[i + 1], "null") == 0)
			f->default_null = true;
		else
			f->default_number = parse_number(word[i + 1]);
	}
}

static void parse_field(int owner, int root, char **word, int n)
{
	struct structure *s = &structs[owner];
	if (n < 3)
		fail("expected: NAME TYPE VERSIONS [options]");
	if (s->field_count == FIELDS_MAX)
		fail("too many fields in %s", s->c_name);
	struct field *f = &s->field[s->field_count];
	*f = (struct field){.tag = -1, .nested = -1, .nullable = {1, 0}};
	copy_name(f->name, word[0]);
	f->array = strncmp(word[1], "[]", 2) == 0;
	copy_name(f->type, word[1] + (f->array ? 2 : 0));
	f->versions = parse_range(word[2]);
	parse_options(f, word, n);
	const struct type *t = type_find(f->type);
	if (f->default_null && f->nullable.from > f->nullable.to)
		fail("%s: default null needs a nullable type", f->name);
	if (f->default_number && (!t || !t->number || f->array))
		fail("%s: only numbers have a default", f->name);
	for (int i = 0; i < s->field_count; i++) {
		if (strcmp(s->field[i].name, f->name) == 0)
			fail("field %s twice", f->name);
		if (f->tag >= 0 && s->field[i].tag >= f->tag)
			fail("%s: tags must be in ascending order", f->name);
	}
	if (!t) {
		char c_name[3 * NAME_LEN];
		snprintf(c_name, sizeof(c_name), "%s_%s", structs[root].c_name, f->type);
		f->nested = struct_new(c_name);
	}
	s->field_count++;
}

static void parse_file(const char *path)
{
	int owner[DEPTH_MAX + 1] = {-1}; /* by depth: the structure that gets the fields */
	int depth = 0;
	char line[512];
	FILE *f = fopen(path, "r");
	file_name = path;
	line_number = 0;
	if (!f)
		fail("cannot open");
	while (fgets(line, sizeof(line), f)) {
		char *word[WORDS_MAX];
		int tabs, n = split(line, word, &tabs);
		line_number++;
		if (n == 0)
			continue;
		if (tabs == 0 && (strcmp(word[0], "api") == 0 || strcmp(word[0], "data") == 0)) {
			parse_api(word, n);
			owner[0] = apis[api_count - 1].request;
			depth = 0;
			continue;
		}
		if (tabs == 0 && n == 1 &&
		    (strcmp(word[0], "request") == 0 || strcmp(word[0], "response") == 0)) {
			owner[0] = parse_body(word[0]);
			depth = 0;
			continue;
		}
		if (tabs == 0 || tabs > depth + 1 || tabs > DEPTH_MAX || owner[tabs - 1] < 0)
			fail("unexpected indentation");
		parse_field(owner[tabs - 1], owner[0], word, n);
		struct structure *s = &structs[owner[tabs - 1]];
		owner[tabs] = s->field[s->field_count - 1].nested;
		depth = tabs;
	}
	fclose(f);
}

static int by_key(const void *a, const void *b)
{
	const struct api *x = a, *y = b;
	/* data has no key and comes last */
	return (x->key < 0 ? 10000 : x->key) - (y->key < 0 ? 10000 : y->key);
}

static void check(void)
{
	file_name = NULL;
	qsort(apis, (size_t)api_count, sizeof(apis[0]), by_key);
	for (int i = 0; i < struct_count; i++) {
		if (structs[i].field_count == 0 && !strstr(structs[i].c_name, "_request"))
			fail("structure %s has no fields", structs[i].c_name);
	}
	for (int i = 0; i < api_count; i++) {
		const struct api *a = &apis[i];
		if (a->request < 0 || (a->key >= 0 && a->response < 0))
			fail("%s lacks a request or a response", a->name);
		for (int j = 0; j < i; j++) {
			if (a->key >= 0 && apis[j].key == a->key)
				fail("api key %d twice", a->key);
		}
	}
}

/* ---- messages.h ------------------------------------------------------------------------------ */

static void upper(char *to, const char *from)
{
	size_t i = 0;
	for (; from[i]; i++)
		to[i] = (char)toupper((unsigned char)from[i]);
	to[i] = 0;
}

static void c_field(const struct field *f)
{
	char element[4 * NAME_LEN];
	if (f->nested >= 0)
		snprintf(element, sizeof(element), "struct %s ", structs[f->nested].c_name);
	else
		snprintf(element, sizeof(element), "%s", type_find(f->type)->c_type);
	if (f->array)
		printf("\tstruct {\n\t\t%s*at;\n\t\tuint32_t count;\n\t} %s;", element, f->name);
	else if (f->nested >= 0 && f->nullable.from <= f->nullable.to)
		printf("\t%s*%s;", element, f->name);
	else
		printf("\t%s%s;", element, f->name);
	printf(" /* %d", f->versions.from);
	if (f->versions.to == 127)
		printf("+");
	else if (f->versions.to != f->versions.from)
		printf("-%d", f->versions.to);
	if (f->tag >= 0)
		printf(", tag %d", f->tag);
	if (f->nullable.from <= f->nullable.to)
		printf(", nullable");
	printf(" */\n");
}

/* Nested structures first: they are numbered after their owner, so each owner prints them
 * recursively. */
static void c_struct(int index)
{
	const struct structure *s = &structs[index];
	for (int i = 0; i < s->field_count; i++) {
		if (s->field[i].nested >= 0)
			c_struct(s->field[i].nested);
	}
	printf("struct %s {\n", s->c_name);
	if (s->field_count == 0)
		printf("\tchar empty;\n");
	for (int i = 0; i < s->field_count; i++)
		c_field(&s->field[i]);
	printf("};\nextern const struct msg_shape %s_shape;\n\n", s->c_name);
}

static void write_header(void)
{
	printf(
	    "/* SPDX-License-Identifier: Apache-2.0 */\n/* Generated by tools/dev/gen_kafka.c from "
	    "broker/kafka/schema: do not edit. */\n#pragma once\n#include \"log/log.h\"\n\n"
	    "struct msg_shape;\n/* What follows one another on the wire but not in memory. */\n"
	    "struct msg_slices {\n\tconst struct bytes *at;\n\tuint32_t count;\n};\n\n"
	    "enum api_key {\n");
	for (int i = 0; i < api_count; i++) {
		char name[NAME_LEN];
		upper(name, apis[i].snake);
		if (apis[i].key >= 0)
			printf("\tAPI_%s = %d,\n", name, apis[i].key);
	}
	printf("};\n\n");
	for (int i = 0; i < api_count; i++) {
		const struct api *a = &apis[i];
		printf("/* ---- %s %d-%d ---- */\n", a->name, a->versions.from, a->versions.to);
		c_struct(a->request);
		if (a->response >= 0)
			c_struct(a->response);
	}
}

/* ---- message_tables.h ------------------------------------------------------------------------ */

static void table_field(const struct structure *s, const struct field *f)
{
	printf("    {.name = \"%s\", .offset = offsetof(struct %s, %s), .type = %s, .array = %s, "
	       ".from = %d, "
	       ".to = %d,\n     .null_from = %d, .null_to = %d, .tag = %d, .default_null = %s, "
	       ".is_error = %s, "
	       ".default_number = ",
	    f->name, s->c_name, f->name,
	    f->nested >= 0 ? "MSG_STRUCT" : type_find(f->type)->constant,
	    f->array ? "true" : "false", f->versions.from, f->versions.to, f->nullable.from,
	    f->nullable.to, f->tag, f->default_null ? "true" : "false",
	    strcmp(f->name, "error_code") == 0 ? "true" : "false");
	printf("%lldLL, .shape = ", f->default_number);
	if (f->nested >= 0)
		printf("&%s_shape},\n", structs[f->nested].c_name);
	else
		printf("NULL},\n");
}

static void write_tables(void)
{
	printf(
	    "/* SPDX-License-Identifier: Apache-2.0 */\n/* Generated by tools/dev/gen_kafka.c from "
	    "broker/kafka/schema: do not edit. */\n");
	for (int i = 0; i < struct_count; i++) {
		const struct structure *s = &structs[i];
		if (s->field_count > 0) {
			printf("static const struct msg_field %s_fields[] = {\n", s->c_name);
			for (int j = 0; j < s->field_count; j++)
				table_field(s, &s->field[j]);
			printf("};\n");
		}
		printf("const struct msg_shape %s_shape = {\"%s\", ", s->c_name, s->c_name);
		if (s->field_count > 0)
			printf("%s_fields, ", s->c_name);
		else
			printf("NULL, ");
		printf("%d, sizeof(struct %s)};\n", s->field_count, s->c_name);
	}
	printf("const struct msg_api msg_apis[] = {\n");
	for (int i = 0; i < api_count; i++) {
		const struct api *a = &apis[i];
		printf("    {\"%s\", %d, %d, %d, %d, &%s_shape, ", a->name, a->key,
		    a->versions.from, a->versions.to, a->flexible, structs[a->request].c_name);
		if (a->response >= 0)
			printf("&%s_shape},\n", structs[a->response].c_name);
		else
			printf("NULL},\n");
	}
	printf("};\nconst size_t msg_api_count = %d;\n", api_count);
}

/* ---- PROTOCOL.md ----------------------------------------------------------------------------- */

static void doc_range(struct range r)
{
	if (r.to == 127)
		printf("%d+", r.from);
	else if (r.from == r.to)
		printf("%d", r.from);
	else
		printf("%d-%d", r.from, r.to);
}

static void doc_fields(int index, int depth)
{
	const struct structure *s = &structs[index];
	for (int i = 0; i < s->field_count; i++) {
		const struct field *f = &s->field[i];
		printf("%*s%-*s %s%-*s ", 2 * depth, "", 34 - 2 * depth, f->name,
		    f->array ? "[]" : "", f->array ? 9 : 11, f->nested >= 0 ? "struct" : f->type);
		doc_range(f->versions);
		if (f->nullable.from <= f->nullable.to) {
			printf("  nullable ");
			doc_range(f->nullable);
		}
		if (f->tag >= 0)
			printf("  tag %d", f->tag);
		if (f->default_number)
			printf("  default %lld", f->default_number);
		if (f->default_null)
			printf("  default null");
		putchar('\n');
		if (f->nested >= 0)
			doc_fields(f->nested, depth + 1);
	}
}

static void doc_message(const struct api *a)
{
	printf("\n### %s", a->name);
	if (a->key >= 0)
		printf(" (key %d)", a->key);
	printf("\n\nVersions ");
	doc_range(a->versions);
	if (a->flexible == 127)
		printf(", none flexible.\n\n```\n");
	else
		printf(", flexible from %d.\n\n```\n", a->flexible);
	if (a->key >= 0)
		printf("request\n");
	doc_fields(a->request, a->key >= 0);
	if (a->response >= 0) {
		printf("response\n");
		doc_fields(a->response, 1);
	}
	printf("```\n");
}

static void write_doc(void)
{
	printf("# Kafka protocol, as kappa's message table has it\n\n"
	       "Generated by `make protocol-doc` from `broker/kafka/schema/*.msg`; do not edit. A "
	       "message that is "
	       "here can be\ndecoded, encoded and printed. A server *serves* those for which "
	       "`broker/kafka/dispatch.c` has a row, and\nadvertises exactly these in its "
	       "ApiVersions answer "
	       "(Produce and JoinGroup from version 0, because older\nclients test for it; a "
	       "Produce request below 3 closes "
	       "the connection, as any other\nversion that is not served).\n\n"
	       "## Wire\n\n"
	       "Everything is big-endian. A frame is an int32 length and that many bytes: header, "
	       "then body.\n\n"
	       "- Request header: api key int16, version int16, correlation id int32, client id "
	       "(int16 length, -1 = "
	       "null);\n  in flexible versions a tagged section follows. Response header: "
	       "correlation id int32, "
	       "and in flexible\n  versions a tagged section, except for ApiVersions.\n"
	       "- string: int16 length, -1 = null; flexible: uvarint length + 1, 0 = null. bytes "
	       "and records: int32 "
	       "length or\n  uvarint + 1. Array: int32 count or uvarint + 1. uuid: 16 bytes. bool: "
	       "one byte.\n"
	       "- Nullable structure: int8, -1 = null, 1 = it follows.\n"
	       "- Tagged section, at the end of each structure in flexible versions: uvarint "
	       "count, then in "
	       "ascending order\n  (uvarint tag, uvarint size, bytes). Fields with their default "
	       "are left out. Unknown "
	       "tags are skipped, at most\n  64 per structure.\n\n"
	       "Refused with a closed connection: a length that is negative or over the limit, a "
	       "count that the "
	       "remaining bytes\ncannot hold, null where none is allowed, a request that would "
	       "need over four times its own size plus 64\nKiB in memory. Bytes behind the body "
	       "are ignored: librdkafka 2.0 leaves some in OffsetFetch.\n\n"
	       "| Key | Name | Versions | Flexible from |\n|---|---|---|---|\n");
	for (int i = 0; i < api_count; i++) {
		if (apis[i].key < 0)
			continue;
		printf("| %d | %s | ", apis[i].key, apis[i].name);
		doc_range(apis[i].versions);
		if (apis[i].flexible == 127)
			printf(" | - |\n");
		else
			printf(" | %d |\n", apis[i].flexible);
	}
	printf("\n## Messages\n\nFields in wire order with the versions that have them. Each "
	       "structure of an array is "
	       "indented below it.\n");
	for (int i = 0; i < api_count; i++)
		doc_message(&apis[i]);
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: gen_kafka header|tables|doc SCHEMA...\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		parse_file(argv[i]);
	check();
	if (strcmp(argv[1], "header") == 0)
		write_header();
	else if (strcmp(argv[1], "tables") == 0)
		write_tables();
	else if (strcmp(argv[1], "doc") == 0)
		write_doc();
	else
		fail("unknown output %s", argv[1]);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
