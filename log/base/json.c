/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The projecting scanner of json.h.
 *
 * The wanted paths form a trie; one recursive walk (depth bounded by JSON_DEPTH_MAX) goes over the whole document
 * and stores a slice where a trie node is wanted. A node without interest is NULL: then the same walk only validates.
 *
 *   J1 `at` never passes `end`: every look at *at is behind a comparison (this file walks bytes by pointer, not by a
 *      reader, because it must do a gigabyte a second).
 *   J2 values[i] is what jsonb would hold: the last duplicate wins at each level, an exact name beats one that
 *      differs in case, and a later duplicate of a parent forgets what an earlier one contained.
 *
 * Prediction: each object node remembers the key bytes and the child of its nth member; machines write their
 * records with one key order, so most keys cost one comparison instead of a search.
 */
#include "json.h"
#include "limits.h"
#include <emmintrin.h>

enum { PREDICT_MEMBERS = 24, PREDICT_KEY_BYTES = 34, KEY_MAX = 512, NO_CHILD = UINT16_MAX };

struct predicted {
	uint8_t len; /* 0 = nothing yet */
	uint8_t rank;
	uint16_t child; /* NO_CHILD: known to be of no interest */
	char key[PREDICT_KEY_BYTES + 2]; /* with its quotes and colon, so that one comparison steps over all three */
};

enum { RANK_NONE = 0, RANK_FOLDED = 1, RANK_EXACT = 2 };

/* One step of a path. Children are tried in order; there are few. */
struct trie {
	struct str key;     /* object member; ptr NULL: array element */
	int64_t index;      /* array element */
	bool exact_case;
	struct trie *children;
	uint16_t child_count;
	uint16_t value_first, value_count; /* wanted values of this node, in json_paths.targets */
	bool twins; /* one key of a document can match several children: no prediction, each gets its own walk */
	struct predicted *predict;         /* PREDICT_MEMBERS, for nodes with children */
};

struct json_paths {
	struct arena arena;
	struct trie root;
	uint16_t *targets; /* value indexes, grouped by node */
	uint8_t *rank;     /* per value, during a scan */
	size_t count;
};

struct scan {
	const char *at, *end, *start;
	struct json_paths *paths;
	struct json_value *values;
	const char *what; /* of the first error */
	int depth;
};

/* ---- bytes -------------------------------------------------------------------------------------- */

static bool scan_fail(struct scan *s, const char *what)
{
	if (!s->what)
		s->what = what;
	return false;
}

static inline void skip_space(struct scan *s)
{
	if (s->at < s->end && (uint8_t)*s->at > ' ')
		return;
	while (s->at < s->end && (uint8_t)*s->at <= ' ' &&
	    (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
		s->at++;
}

/* Moves to the first byte of interest inside a string: quote, backslash or control character. */
static inline const char *string_plain_end(const char *at, const char *end)
{
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(31);
	while (end - at >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
		__m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash));
		hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
		int mask = _mm_movemask_epi8(hit);
		if (mask)
			return at + __builtin_ctz((unsigned)mask);
		at += 16;
	}
	while (at < end && *at != '"' && *at != '\\' && (uint8_t)*at > 31)
		at++;
	return at;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* At a backslash: steps over one legal escape. */
static bool skip_escape(struct scan *s)
{
	if (s->end - s->at < 2)
		return scan_fail(s, "unterminated string");
	char c = s->at[1];
	if (c == 'u') {
		if (s->end - s->at < 6 || !is_hex(s->at[2]) || !is_hex(s->at[3]) || !is_hex(s->at[4]) ||
		    !is_hex(s->at[5]))
			return scan_fail(s, "bad \\u escape");
		s->at += 6;
		return true;
	}
	if (!memchr("\"\\/bfnrt", c, 8))
		return scan_fail(s, "bad escape");
	s->at += 2;
	return true;
}

/* At the opening quote; ends behind the closing one. */
static inline bool scan_string(struct scan *s, struct str *ret_text, bool *ret_escaped)
{
	const char *from = ++s->at;
	bool escaped = false;
	for (;;) {
		s->at = string_plain_end(s->at, s->end);
		if (s->at == s->end)
			return scan_fail(s, "unterminated string");
		if (*s->at == '"')
			break;
		if (*s->at != '\\')
			return scan_fail(s, "control character in a string");
		escaped = true;
		if (!skip_escape(s))
			return false;
	}
	*ret_text = (struct str){from, (size_t)(s->at - from)};
	*ret_escaped = escaped;
	s->at++;
	return true;
}

static bool skip_digits(struct scan *s)
{
	const char *from = s->at;
	while (s->at < s->end && (uint8_t)(*s->at - '0') <= 9)
		s->at++;
	return s->at != from || scan_fail(s, "digit expected");
}

static bool scan_number(struct scan *s)
{
	if (*s->at == '-')
		s->at++;
	if (s->at < s->end && *s->at == '0')
		s->at++;
	else if (!skip_digits(s))
		return false;
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		if (!skip_digits(s))
			return false;
	}
	if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		if (!skip_digits(s))
			return false;
	}
	return true;
}

static bool scan_word(struct scan *s, const char *word, size_t len)
{
	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return scan_fail(s, "unknown word");
	s->at += len;
	return true;
}

/* ---- the trie -------------------------------------------------------------------------------------- */

static bool fold_equal(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		uint8_t x = (uint8_t)a.ptr[i], y = (uint8_t)b.ptr[i];
		x = (uint8_t)(x - 'A') < 26 ? (uint8_t)(x | 32) : x;
		y = (uint8_t)(y - 'A') < 26 ? (uint8_t)(y | 32) : y;
		if (x != y)
			return false;
	}
	return true;
}

static uint16_t find_child(const struct trie *node, struct str key, uint8_t *ret_rank)
{
	uint16_t found = NO_CHILD;
	*ret_rank = RANK_NONE;
	for (uint16_t i = 0; i < node->child_count; i++) {
		const struct trie *c = &node->children[i];
		if (!c->key.ptr)
			continue;
		if (str_equal(c->key, key)) {
			*ret_rank = RANK_EXACT;
			return i;
		}
		if (found == NO_CHILD && !c->exact_case && fold_equal(c->key, key)) {
			found = i;
			*ret_rank = RANK_FOLDED;
		}
	}
	return found;
}

/* Remembers what the nth member of this object was, for the next document. */
static void predict(struct trie *node, uint32_t nth, struct str key, uint16_t child, uint8_t rank)
{
	if (nth >= PREDICT_MEMBERS || key.len > PREDICT_KEY_BYTES - 2)
		return;
	struct predicted *p = &node->predict[nth];
	p->len = (uint8_t)(key.len + 3);
	p->key[0] = '"';
	memcpy(p->key + 1, key.ptr, key.len);
	p->key[key.len + 1] = '"';
	p->key[key.len + 2] = ':';
	p->child = child;
	p->rank = rank;
}

/* Equality of `len` bytes; both sides have at least 16 readable ones. */
static inline bool short_equal(const char *a, const char *b, size_t len)
{
	if (len > 16)
		return memcmp(a, b, len) == 0;
	__m128i x = _mm_loadu_si128((const __m128i *)(const void *)a);
	__m128i y = _mm_loadu_si128((const __m128i *)(const void *)b);
	unsigned equal = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y));
	return (~equal & ((1u << len) - 1)) == 0;
}

/* Forgets what is stored below `node` (a duplicate of its key came later). */
static void forget(struct scan *s, const struct trie *node)
{
	for (uint16_t i = 0; i < node->value_count; i++)
		s->values[s->paths->targets[node->value_first + i]] = (struct json_value){0};
	for (uint16_t i = 0; i < node->child_count; i++)
		forget(s, &node->children[i]);
}

static void store(struct scan *s, const struct trie *node, struct json_value v)
{
	for (uint16_t i = 0; i < node->value_count; i++)
		s->values[s->paths->targets[node->value_first + i]] = v;
}

/* A folded match must not replace an exact one. A node's rank is kept with its first value or, where it only
 * has children, it came from a path and is exact always. */
static bool outranked(struct scan *s, const struct trie *node, uint8_t rank)
{
	if (!node->value_count)
		return false;
	uint8_t *have = &s->paths->rank[s->paths->targets[node->value_first]];
	if (*have > rank)
		return true;
	*have = rank;
	return false;
}

/* ---- the walk ------------------------------------------------------------------------------------------ */

static bool scan_value(struct scan *s, struct trie *node);

/* Keys with escapes are rare: unescape, then search. */
static struct trie *escaped_child(struct trie *node, struct str key, uint8_t *ret_rank)
{
	struct trie *child = NULL;
	struct arena tmp;
	arena_init(&tmp, 64 * KIB);
	struct str plain;
	struct json_value v = {.kind = JSON_STRING, .escaped = true, .text = key};
	if (key.len <= KEY_MAX && json_unescape(&tmp, v, &plain) == ERR_OK) {
		uint16_t i = find_child(node, plain, ret_rank);
		if (i != NO_CHILD)
			child = &node->children[i];
	}
	err_clear();
	arena_release(&tmp);
	return child;
}

static bool scan_matched(struct scan *s, struct trie *child, uint8_t rank)
{
	if (child && outranked(s, child, rank))
		child = NULL;
	if (child && child->child_count)
		forget(s, child);
	return scan_value(s, child);
}

/* Columns id and "ID", or id and a path '$.id': the value is walked once for each. */
static bool scan_twins(struct scan *s, struct trie *node, struct str key)
{
	const char *from = s->at;
	bool walked = false;
	for (uint16_t i = 0; i < node->child_count; i++) {
		struct trie *c = &node->children[i];
		bool exact = c->key.ptr && str_equal(c->key, key);
		if (!exact && (!c->key.ptr || c->exact_case || !fold_equal(c->key, key)))
			continue;
		s->at = from;
		walked = true;
		if (!scan_matched(s, c, exact ? RANK_EXACT : RANK_FOLDED))
			return false;
	}
	return walked || scan_value(s, NULL);
}

/* Steps over the name and colon of the nth member if they are what they were in the last document. */
static inline const struct predicted *scan_predicted(struct scan *s, const struct trie *node, uint32_t nth)
{
	if (!node || !node->predict || nth >= PREDICT_MEMBERS)
		return NULL;
	const struct predicted *p = &node->predict[nth];
	size_t left = (size_t)(s->end - s->at);
	if (!p->len || left < p->len)
		return NULL;
	if (left < 16 ? memcmp(s->at, p->key, p->len) != 0 : !short_equal(s->at, p->key, p->len))
		return NULL;
	s->at += p->len;
	return p;
}

static bool scan_member(struct scan *s, struct trie *node, uint32_t nth)
{
	struct str key;
	bool escaped;
	const struct predicted *p = scan_predicted(s, node, nth);
	if (p)
		return scan_matched(s, p->child == NO_CHILD ? NULL : &node->children[p->child], p->rank);
	if (s->at == s->end || *s->at != '"')
		return scan_fail(s, "member name expected");
	if (!scan_string(s, &key, &escaped))
		return false;
	skip_space(s);
	if (s->at == s->end || *s->at != ':')
		return scan_fail(s, "':' expected");
	s->at++;
	if (!node || !node->child_count)
		return scan_value(s, NULL);
	uint8_t rank = RANK_NONE;
	if (escaped) {
		struct trie *found = escaped_child(node, key, &rank);
		return scan_matched(s, found, rank);
	}
	if (node->twins)
		return scan_twins(s, node, key);
	uint16_t child = find_child(node, key, &rank);
	predict(node, nth, key, child, rank);
	return scan_matched(s, child == NO_CHILD ? NULL : &node->children[child], rank);
}

static bool scan_object(struct scan *s, struct trie *node)
{
	s->at++;
	skip_space(s);
	if (s->at < s->end && *s->at == '}') {
		s->at++;
		return true;
	}
	for (uint32_t nth = 0;; nth++) {
		skip_space(s);
		if (!scan_member(s, node, nth))
			return false;
		skip_space(s);
		if (s->at == s->end)
			return scan_fail(s, "unterminated object");
		char c = *s->at++;
		if (c == '}')
			return true;
		if (c != ',') {
			s->at--;
			return scan_fail(s, "',' or '}' expected");
		}
	}
}

static struct trie *element_child(struct trie *node, int64_t nth)
{
	for (uint16_t i = 0; node && i < node->child_count; i++)
		if (!node->children[i].key.ptr && node->children[i].index == nth)
			return &node->children[i];
	return NULL;
}

static bool scan_array(struct scan *s, struct trie *node)
{
	s->at++;
	skip_space(s);
	if (s->at < s->end && *s->at == ']') {
		s->at++;
		return true;
	}
	for (int64_t nth = 0;; nth++) {
		if (!scan_value(s, element_child(node, nth)))
			return false;
		skip_space(s);
		if (s->at == s->end)
			return scan_fail(s, "unterminated array");
		char c = *s->at++;
		if (c == ']')
			return true;
		if (c != ',') {
			s->at--;
			return scan_fail(s, "',' or ']' expected");
		}
	}
}

static bool scan_container(struct scan *s, struct trie *node)
{
	if (s->depth == JSON_DEPTH_MAX)
		return scan_fail(s, "nested too deeply");
	s->depth++;
	bool ok = *s->at == '{' ? scan_object(s, node) : scan_array(s, node);
	s->depth--;
	return ok;
}

static bool scan_value(struct scan *s, struct trie *node)
{
	skip_space(s);
	if (s->at == s->end)
		return scan_fail(s, "value expected");
	struct json_value v = {0};
	const char *from = s->at;
	bool ok;
	switch (*from) {
	case '"':
		v.kind = JSON_STRING;
		ok = scan_string(s, &v.text, &v.escaped);
		break;
	case '{':
	case '[':
		v.kind = *from == '{' ? JSON_OBJECT : JSON_ARRAY;
		ok = scan_container(s, node);
		break;
	case 't':
		v.kind = JSON_TRUE;
		ok = scan_word(s, "true", 4);
		break;
	case 'f':
		v.kind = JSON_FALSE;
		ok = scan_word(s, "false", 5);
		break;
	case 'n':
		v.kind = JSON_NULL;
		ok = scan_word(s, "null", 4);
		break;
	default:
		if (*from != '-' && (uint8_t)(*from - '0') > 9)
			return scan_fail(s, "value expected");
		v.kind = JSON_NUMBER;
		ok = scan_number(s);
	}
	if (!ok || !node)
		return ok;
	if (v.kind != JSON_STRING)
		v.text = (struct str){from, (size_t)(s->at - from)};
	store(s, node, v);
	return true;
}

static bool scan_document(struct scan *s)
{
	if (s->end - s->at >= 3 && memcmp(s->at, "\xEF\xBB\xBF", 3) == 0)
		s->at += 3;
	skip_space(s);
	if (s->paths && (s->at == s->end || *s->at != '{'))
		return scan_fail(s, "an object is expected");
	if (!scan_value(s, s->paths ? &s->paths->root : NULL))
		return false;
	skip_space(s);
	return s->at == s->end || scan_fail(s, "bytes behind the end of the document");
}

enum err json_scan(struct json_paths *p, struct str doc, struct json_value *values)
{
	memset(values, 0, p->count * sizeof *values);
	memset(p->rank, 0, p->count);
	if (!doc.ptr)
		doc = STR("");
	struct scan s = {.at = doc.ptr, .end = doc.ptr + doc.len, .start = doc.ptr, .paths = p, .values = values};
	if (scan_document(&s))
		return ERR_OK;
	return err_note(ERR_BAD_JSON, "%s at byte %zu", s.what, (size_t)(s.at - s.start) + 1);
}

bool json_is_valid(struct str doc)
{
	struct scan s = {.at = doc.ptr, .end = doc.ptr + doc.len, .start = doc.ptr};
	return doc.ptr && scan_document(&s);
}

/* ---- compiling paths --------------------------------------------------------------------------------- */

/* Finds or adds the child of `node` for one step. Children move: no pointers into them are kept while building. */
static enum err child_of(struct json_paths *p, struct trie *node, const struct trie *step, struct trie **ret_child)
{
	for (uint16_t i = 0; i < node->child_count; i++) {
		struct trie *c = &node->children[i];
		bool same = step->key.ptr ? c->key.ptr && str_equal(c->key, step->key) && c->exact_case == step->exact_case
		                          : !c->key.ptr && c->index == step->index;
		if (same) {
			*ret_child = c;
			return ERR_OK;
		}
	}
	if (node->child_count == VIEW_COLUMNS_MAX)
		return err_note(ERR_LIMIT, "more than %d members in one object", VIEW_COLUMNS_MAX);
	struct trie *grown = arena_calloc(&p->arena, node->child_count + 1u, sizeof *grown);
	if (!grown)
		return ERR_NOMEM;
	if (node->child_count)
		memcpy(grown, node->children, node->child_count * sizeof *grown);
	for (uint16_t i = 0; i < node->child_count; i++)
		node->twins |= step->key.ptr && grown[i].key.ptr && fold_equal(grown[i].key, step->key) &&
		    !(grown[i].exact_case && step->exact_case);
	struct trie *c = &grown[node->child_count++];
	*c = *step;
	if (step->key.ptr) {
		c->key = arena_copy_str(&p->arena, step->key);
		if (!c->key.ptr)
			return ERR_NOMEM;
	}
	node->children = grown;
	*ret_child = c;
	return ERR_OK;
}

/* Quoted key or index between brackets; *at is behind '['. */
static bool parse_bracket(struct str path, size_t *at, struct trie *step)
{
	size_t i = *at;
	if (i < path.len && (path.ptr[i] == '\'' || path.ptr[i] == '"')) {
		char quote = path.ptr[i++];
		size_t from = i;
		while (i < path.len && path.ptr[i] != quote)
			i++;
		step->key = str_from(path.ptr + from, i - from);
		i++;
	} else {
		size_t from = i;
		while (i < path.len && path.ptr[i] != ']')
			i++;
		if (!str_to_i64(str_from(path.ptr + from, i - from), &step->index) || step->index < 0)
			return false;
	}
	if (i >= path.len || path.ptr[i] != ']')
		return false;
	*at = i + 1;
	return true;
}

static bool parse_step(struct str path, size_t *at, struct trie *step)
{
	*step = (struct trie){.exact_case = true};
	char lead = path.ptr[(*at)++];
	if (lead == '[')
		return parse_bracket(path, at, step);
	if (lead != '.')
		return false;
	size_t from = *at;
	if (*at < path.len && path.ptr[*at] == '"') {
		from = ++*at;
		while (*at < path.len && path.ptr[*at] != '"')
			++*at;
		if (*at == path.len)
			return false;
		step->key = str_from(path.ptr + from, (*at)++ - from);
		return true;
	}
	while (*at < path.len && path.ptr[*at] != '.' && path.ptr[*at] != '[')
		++*at;
	step->key = str_from(path.ptr + from, *at - from);
	return step->key.len > 0;
}

static enum err add_path(struct json_paths *p, const struct json_path_spec *spec, struct trie **ret_node)
{
	struct trie *node = &p->root, step;
	if (!spec->is_path) {
		step = (struct trie){.key = spec->path, .exact_case = spec->exact_case};
		return child_of(p, node, &step, ret_node);
	}
	if (spec->path.len < 2 || spec->path.ptr[0] != '$')
		return err_note(ERR_INVALID, "path '" STR_FMT "': it starts with $. or $[", STR_ARG(spec->path));
	for (size_t at = 1, steps = 0; at < spec->path.len; steps++) {
		if (!parse_step(spec->path, &at, &step) || steps == JSON_DEPTH_MAX)
			return err_note(ERR_INVALID, "path '" STR_FMT "': .name or [number] expected before byte %zu",
			    STR_ARG(spec->path), at + 1);
		TRY(child_of(p, node, &step, &node));
	}
	*ret_node = node;
	return ERR_OK;
}

/* Gives every node its slice of targets and its predictor, depth first. `node_of[i]` is found by walking again. */
static enum err finish_node(struct json_paths *p, struct trie *node, const struct json_path_spec *specs,
    uint16_t *next_target)
{
	if (node->child_count) {
		node->predict = arena_calloc(&p->arena, PREDICT_MEMBERS, sizeof *node->predict);
		if (!node->predict)
			return ERR_NOMEM;
	}
	node->value_first = *next_target;
	for (size_t i = 0; i < p->count; i++) {
		struct trie *target;
		TRY(add_path(p, &specs[i], &target)); /* finds, since all paths were added before */
		if (target == node)
			p->targets[(*next_target)++] = (uint16_t)i;
	}
	node->value_count = (uint16_t)(*next_target - node->value_first);
	for (uint16_t i = 0; i < node->child_count; i++)
		TRY(finish_node(p, &node->children[i], specs, next_target));
	return ERR_OK;
}

static enum err paths_build(struct json_paths *p, const struct json_path_spec *specs)
{
	struct trie *node;
	for (size_t i = 0; i < p->count; i++)
		TRY(add_path(p, &specs[i], &node));
	uint16_t next_target = 0;
	return finish_node(p, &p->root, specs, &next_target);
}

enum err json_paths_new(const struct json_path_spec *specs, size_t count, struct json_paths **ret_paths)
{
	if (count > VIEW_COLUMNS_MAX)
		return err_note(ERR_LIMIT, "%zu paths, at most %d", count, VIEW_COLUMNS_MAX);
	struct json_paths *p = mem_calloc(1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	arena_init(&p->arena, 64 * MIB);
	p->count = count;
	p->targets = arena_calloc(&p->arena, count + 1, sizeof *p->targets);
	p->rank = arena_calloc(&p->arena, count + 1, 1);
	enum err e = p->targets && p->rank ? paths_build(p, specs) : ERR_NOMEM;
	if (e != ERR_OK) {
		json_paths_free(p);
		return e;
	}
	*ret_paths = p;
	return ERR_OK;
}

void json_paths_free(struct json_paths *p)
{
	if (!p)
		return;
	arena_release(&p->arena);
	mem_free(p);
}

/* ---- strings ------------------------------------------------------------------------------------------- */

static uint32_t hex4(const char *p)
{
	uint32_t v = 0;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		uint32_t d = c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 32) - 'a' + 10);
		v = v << 4 | d;
	}
	return v;
}

static size_t utf8_put(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* At "\uXXXX" (already checked as hex): the code point, with its low surrogate where there is one. */
static enum err unescape_unicode(const char **at, const char *end, uint32_t *ret_c)
{
	uint32_t c = hex4(*at + 2);
	*at += 6;
	if (c == 0)
		return err_note(ERR_BAD_VALUE, "\\u0000 cannot be text");
	if (c >= 0xD800 && c < 0xDC00) {
		if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
			return err_note(ERR_BAD_VALUE, "a lone surrogate cannot be text");
		uint32_t low = hex4(*at + 2);
		if (low < 0xDC00 || low > 0xDFFF)
			return err_note(ERR_BAD_VALUE, "a lone surrogate cannot be text");
		*at += 6;
		c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
	} else if (c >= 0xDC00 && c <= 0xDFFF) {
		return err_note(ERR_BAD_VALUE, "a lone surrogate cannot be text");
	}
	*ret_c = c;
	return ERR_OK;
}

static char unescape_char(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

enum err json_unescape(struct arena *a, struct json_value v, struct str *ret_text)
{
	ASSERT(v.kind == JSON_STRING);
	if (!str_is_utf8(v.text))
		return err_note(ERR_BAD_VALUE, "text is not UTF-8");
	if (!v.escaped) {
		*ret_text = v.text;
		return ERR_OK;
	}
	char *out = arena_alloc(a, v.text.len + 1);
	if (!out)
		return ERR_NOMEM;
	size_t len = 0;
	const char *at = v.text.ptr, *end = v.text.ptr + v.text.len;
	while (at < end) {
		if (*at != '\\') {
			out[len++] = *at++;
			continue;
		}
		if (at[1] == 'u') {
			uint32_t c = 0;
			TRY(unescape_unicode(&at, end, &c));
			len += utf8_put(out + len, c);
			continue;
		}
		out[len++] = unescape_char(at[1]);
		at += 2;
	}
	*ret_text = (struct str){out, len};
	return ERR_OK;
}
