/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The projecting scanner of json.h.
 *
 * The wanted paths form a trie (json_paths.h); one recursive walk, its depth bounded by
 * JSON_DEPTH_MAX, goes over the whole document and stores a slice where a node of the trie is
 * wanted. Where there is no node the same walk only validates.
 *
 *   J1 Each step of the walk takes `at`, where it begins, and returns where it ended; NULL: failed,
 *      and `struct scan` knows what and where. `at` never passes `end`: every look at *at is behind
 *      a comparison (bytes are walked by pointer here, not by a reader, because this is the code
 *      that each record of a view goes through).
 *   J2 values[i] is what jsonb would hold: the last duplicate wins at each level, an exact name
 *      beats one that differs in case, and a later duplicate of a parent forgets what an earlier
 *      one contained.
 *   J3 The usual spelling of a value is taken by 16 bytes at a time; whatever is not usual (the
 *      last bytes of the document, escapes, exponents, errors) starts again in a careful function,
 *      which alone decides what is malformed.
 *
 * Prediction: each object node remembers its members' names and what they led to, in order;
 * machines write their records with one order of names, so most names cost one comparison.
 */
#include "json_paths.h"
#include "limits.h"
#include <emmintrin.h>

enum { WINDOW = 16 /* bytes looked at together */ };

struct scan {
	const char *end, *start;
	struct json_paths *paths; /* NULL: nothing is wanted */
	struct json_value *values;
	struct json_value unwanted; /* where a value without interest goes */
	int depth;                  /* containers that are open; the root of json_scan counts */
	/* what scan_unexpected found */
	struct match match;
	struct predicted *next;
	const char *what, *failed_at; /* of the first error */
};

#define INLINE static inline __attribute__((always_inline))
#define RARE   static __attribute__((noinline))

RARE const char *scan_fail(struct scan *s, const char *at, const char *what)
{
	s->what = what;
	s->failed_at = at;
	return NULL;
}

INLINE const char *skip_space(const struct scan *s, const char *at)
{
	if (at < s->end && (uint8_t)*at > ' ')
		return at;
	while (at < s->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
		at++;
	return at;
}

INLINE __m128i load_window(const char *at)
{
	return _mm_loadu_si128((const __m128i *)(const void *)at);
}

/* ---- strings --------------------------------------------------------------------------------- */

/* Bit i: byte i ends a run of plain text, as it is a quote, a backslash or a control character. */
INLINE unsigned text_stops(__m128i v)
{
	const __m128i control = _mm_set1_epi8(31);
	__m128i stop = _mm_or_si128(
	    _mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
	stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
	return (unsigned)_mm_movemask_epi8(stop);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* At a backslash: steps over one legal escape. */
static const char *skip_escape(struct scan *s, const char *at)
{
	if (s->end - at < 2)
		return scan_fail(s, at, "unterminated string");
	if (at[1] != 'u')
		return memchr("\"\\/bfnrt", at[1], 8) ? at + 2 : scan_fail(s, at, "bad escape");
	if (s->end - at < 6 || !is_hex(at[2]) || !is_hex(at[3]) || !is_hex(at[4]) || !is_hex(at[5]))
		return scan_fail(s, at, "bad \\u escape");
	return at + 6;
}

struct window {
	unsigned stops, high; /* bit i: byte i ends the plain text; is beyond ASCII */
};

INLINE struct window window_of(__m128i v)
{
	return (struct window){text_stops(v), (unsigned)_mm_movemask_epi8(v)};
}

/* A document shorter than a window. */
RARE struct window padded_window(const char *at, size_t len)
{
	char padded[WINDOW] = {0};
	memcpy(padded, at, len);
	return window_of(load_window(padded));
}

/* The next bytes of a string; the end of the document is a stop. */
INLINE struct window text_window(const struct scan *s, const char *at)
{
	size_t left = (size_t)(s->end - at);
	if (left >= WINDOW)
		return window_of(load_window(at));
	if (s->end - s->start < WINDOW)
		return padded_window(at, left);
	struct window w = window_of(load_window(s->end - WINDOW));
	w.stops = (w.stops | 1u << WINDOW) >> (WINDOW - left);
	w.high >>= WINDOW - left;
	return w;
}

/* A string of any length, with or without escapes; `at` is its quote. */
RARE const char *scan_any_string(struct scan *s, const char *at, struct json_value *out)
{
	const char *from = ++at;
	unsigned beyond_ascii = 0;
	bool escaped = false;
	for (;;) {
		struct window w = text_window(s, at);
		if (!w.stops) {
			beyond_ascii |= w.high;
			at += WINDOW;
			continue;
		}
		beyond_ascii |= w.high & (w.stops ^ (w.stops - 1));
		at += (unsigned)__builtin_ctz(w.stops);
		if (at == s->end)
			return scan_fail(s, at, "unterminated string");
		if (*at == '"')
			break;
		if (*at != '\\')
			return scan_fail(s, at, "control character in a string");
		escaped = true;
		at = skip_escape(s, at);
		if (!at)
			return NULL;
	}
	out->kind = JSON_STRING;
	out->escaped = escaped;
	out->ascii = beyond_ascii == 0;
	out->integer = false;
	out->text = (struct str){from, (size_t)(at - from)};
	return at + 1;
}

/* One without escapes that ends a window before the document does. */
INLINE const char *scan_string(struct scan *s, const char *at, struct json_value *out)
{
	const char *from = at + 1;
	unsigned beyond_ascii = 0;
	for (const char *to = from; s->end - to >= WINDOW; to += WINDOW) {
		__m128i v = load_window(to);
		unsigned stops = text_stops(v), high = (unsigned)_mm_movemask_epi8(v);
		if (stops) {
			to += (unsigned)__builtin_ctz(stops);
			if (*to != '"')
				break;
			out->kind = JSON_STRING;
			out->escaped = out->integer = false;
			out->ascii = (beyond_ascii | (high & (stops ^ (stops - 1)))) == 0;
			out->text = (struct str){from, (size_t)(to - from)};
			return to + 1;
		}
		beyond_ascii |= high;
	}
	return scan_any_string(s, at, out);
}

/* ---- numbers and words ----------------------------------------------------------------------- */

INLINE const char *store_number(
    struct json_value *out, const char *from, const char *at, bool whole)
{
	out->kind = JSON_NUMBER;
	out->escaped = false;
	out->ascii = true;
	out->integer = whole;
	out->text = (struct str){from, (size_t)(at - from)};
	return at;
}

/* At least one digit. */
static const char *skip_digits(struct scan *s, const char *at)
{
	const char *from = at;
	while (at < s->end && (uint8_t)(*at - '0') <= 9)
		at++;
	if (at == from)
		scan_fail(s, at, "digit expected");
	return at == from ? NULL : at;
}

RARE const char *scan_any_number(struct scan *s, const char *at, struct json_value *out)
{
	const char *from = at;
	bool whole = true;
	at += *at == '-';
	at = at < s->end && *at == '0' ? at + 1 : skip_digits(s, at);
	if (at && at < s->end && *at == '.') {
		whole = false;
		at = skip_digits(s, at + 1);
	}
	if (at && at < s->end && (*at == 'e' || *at == 'E')) {
		whole = false;
		at++;
		if (at < s->end && (*at == '+' || *at == '-'))
			at++;
		at = skip_digits(s, at);
	}
	return at ? store_number(out, from, at, whole) : NULL;
}

/* Up to 15 bytes of digits and a point among them; the byte behind is looked at as well. */
INLINE const char *scan_number(struct scan *s, const char *at, struct json_value *out)
{
	const char *digits = at + (*at == '-');
	if (s->end - digits <= WINDOW)
		return scan_any_number(s, at, out);
	__m128i v = _mm_sub_epi8(load_window(digits), _mm_set1_epi8('0'));
	__m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(9)), v);
	unsigned others = ~(unsigned)_mm_movemask_epi8(is_digit); /* the upper half is set */
	unsigned len = (unsigned)__builtin_ctz(others), whole = len;
	if (len == 0 || (*digits == '0' && len > 1))
		return scan_any_number(s, at, out);
	if (digits[len] == '.') {
		unsigned decimals = (unsigned)__builtin_ctz(others >> (len + 1));
		len = decimals ? len + 1 + decimals : WINDOW;
	}
	if (len >= WINDOW || (digits[len] | 0x20) == 'e')
		return scan_any_number(s, at, out);
	return store_number(out, at, digits + len, len == whole);
}

static const char *scan_word(struct scan *s, const char *at, struct str word)
{
	if ((size_t)(s->end - at) < word.len || memcmp(at, word.ptr, word.len) != 0)
		return scan_fail(s, at, "unknown word");
	return at + word.len;
}

/* ---- values ---------------------------------------------------------------------------------- */

static const char *scan_object(struct scan *s, const char *at, struct trie *node);
static const char *scan_array(struct scan *s, const char *at, struct trie *node);
static const char *scan_other(
    struct scan *s, const char *at, struct trie *node, struct json_value *out);

/* A value of any kind; at < s->end. */
INLINE const char *scan_kind(
    struct scan *s, const char *at, struct trie *node, struct json_value *out)
{
	if (*at == '"')
		return scan_string(s, at, out);
	if ((uint8_t)(*at - '0') <= 9 || *at == '-')
		return scan_number(s, at, out);
	return scan_other(s, at, node, out);
}

INLINE const char *store_other(
    struct json_value *out, enum json_kind kind, const char *from, const char *at)
{
	if (!at)
		return NULL;
	out->kind = kind;
	out->escaped = out->integer = out->ascii = false;
	out->text = (struct str){from, (size_t)(at - from)};
	return at;
}

static const char *scan_container(
    struct scan *s, const char *at, struct trie *node, struct json_value *out)
{
	if (s->depth == JSON_DEPTH_MAX)
		return scan_fail(s, at, "nested too deeply");
	enum json_kind kind = *at == '{' ? JSON_OBJECT : JSON_ARRAY;
	s->depth++;
	const char *to = *at == '{' ? scan_object(s, at, node) : scan_array(s, at, node);
	s->depth--;
	return store_other(out, kind, at, to);
}

/* Objects, arrays, words, a value behind spaces, and what is no value at all. */
RARE const char *scan_other(
    struct scan *s, const char *at, struct trie *node, struct json_value *out)
{
	const char *from = at;
	switch (*at) {
	case '{':
	case '[':
		return scan_container(s, at, node, out);
	case 't':
		return store_other(out, JSON_TRUE, at, scan_word(s, at, STR("true")));
	case 'f':
		return store_other(out, JSON_FALSE, at, scan_word(s, at, STR("false")));
	case 'n':
		return store_other(out, JSON_NULL, at, scan_word(s, at, STR("null")));
	default:
		at = skip_space(s, at);
		if (at == from || at == s->end)
			return scan_fail(s, at, "value expected");
		return scan_kind(s, at, node, out);
	}
}

/* Forgets what is stored below `node`: a duplicate of its name comes now. */
static void forget(struct scan *s, const struct trie *node)
{
	for (uint16_t i = 0; i < node->child_count; i++) {
		const struct trie *child = &node->children[i];
		if (child->wanted)
			s->values[child->value] = (struct json_value){0};
		forget(s, child);
	}
}

/* Whether the value of a matched name counts (J2). */
INLINE bool settle(struct scan *s, struct match match)
{
	struct trie *node = match.node;
	if (!match.exact && s->values[node->value].exact)
		return false; /* only columns match by letters: the node has a value */
	if (node->child_count) {
		if (node->entered == s->paths->document)
			forget(s, node);
		node->entered = s->paths->document;
	}
	return true;
}

INLINE const char *scan_value(struct scan *s, const char *at, struct match match)
{
	struct json_value *out = &s->unwanted;
	struct trie *node = NULL;
	if (match.leaf) {
		out = &s->values[match.value];
	} else if (match.node && settle(s, match)) {
		node = match.node;
		if (node->wanted)
			out = &s->values[node->value];
	}
	out->exact = match.exact;
	return scan_kind(s, at, node, out);
}

/* The same where speed is lost already. */
RARE const char *walk_value(struct scan *s, const char *at, struct match match)
{
	return scan_value(s, at, match);
}

/* ---- objects --------------------------------------------------------------------------------- */

INLINE bool equal_4_to_8(const char *a, const char *b, size_t len)
{
	uint32_t head_a, head_b, tail_a, tail_b;
	memcpy(&head_a, a, sizeof(head_a));
	memcpy(&head_b, b, sizeof(head_b));
	memcpy(&tail_a, a + len - sizeof(tail_a), sizeof(tail_a));
	memcpy(&tail_b, b + len - sizeof(tail_b), sizeof(tail_b));
	return ((head_a ^ head_b) | (tail_a ^ tail_b)) == 0;
}

INLINE bool equal_8_to_16(const char *a, const char *b, size_t len)
{
	uint64_t head_a, head_b, tail_a, tail_b;
	memcpy(&head_a, a, sizeof(head_a));
	memcpy(&head_b, b, sizeof(head_b));
	memcpy(&tail_a, a + len - sizeof(tail_a), sizeof(tail_a));
	memcpy(&tail_b, b + len - sizeof(tail_b), sizeof(tail_b));
	return ((head_a ^ head_b) | (tail_a ^ tail_b)) == 0;
}

/*
 * True when `text` stands at `at`, and something behind it. Two loads that overlap compare any
 * length.
 */
INLINE bool is_same(const struct scan *s, const char *at, const char *text, size_t len)
{
	if ((size_t)(s->end - at) <= len)
		return false;
	if (len >= 8)
		return len <= 16 ? equal_8_to_16(at, text, len) : memcmp(at, text, len) == 0;
	return len >= 4 ? equal_4_to_8(at, text, len) : memcmp(at, text, len) == 0;
}

/*
 * Columns id and "ID", or id and a path '$.id': the value is walked once for each but the last,
 * which is left in s->match for the caller to walk.
 */
RARE const char *scan_twins(struct scan *s, const char *at, const struct trie *node, struct str key)
{
	struct match match = s->match, twin;
	struct predicted *next = s->next; /* the walks below use both */
	uint16_t i = (uint16_t)(match.node - node->children);
	for (;;) {
		i = trie_match(node, (uint16_t)(i + 1), key, &twin);
		if (i == node->child_count)
			break;
		if (!walk_value(s, at, match))
			return NULL;
		match = twin;
	}
	s->match = match;
	s->next = next;
	return at;
}

/* The name without its escapes; false: it is too long for a wanted one, or no text. */
static bool plain_name(struct scan *s, const struct json_value *name, struct str *ret_key)
{
	size_t len = 0, mark = err_mark();
	if (name->text.len > s->paths->name_max)
		return false;
	enum err e = json_unescape_to(name->text, s->paths->name, &len);
	err_rewind(mark);
	*ret_key = (struct str){s->paths->name, len};
	return e == ERR_OK;
}

/* What a name leads to, into s->match; a new one is remembered. `at` is its value. */
static const char *match_name(struct scan *s, const char *from, const char *at, struct trie *node,
    const struct json_value *name)
{
	struct str key = name->text;
	struct match twin;
	if (name->escaped && !plain_name(s, name, &key))
		return at;
	uint16_t i = trie_match(node, 0, key, &s->match);
	if (i < node->child_count &&
	    trie_match(node, (uint16_t)(i + 1), key, &twin) < node->child_count)
		return scan_twins(s, at, node, key);
	s->next = trie_learn(node, s->next, (struct str){from, (size_t)(at - from)}, s->match);
	return at;
}

/* A name by its letters, behind '{' or ','. Ends at its value. */
static const char *scan_name(struct scan *s, const char *at, struct trie *node)
{
	const char *from = at;
	struct json_value name;
	s->match = (struct match){.node = NULL};
	at = skip_space(s, at + 1);
	if (at == s->end || *at != '"')
		return scan_fail(s, at, "member name expected");
	at = scan_string(s, at, &name);
	if (!at)
		return NULL;
	at = skip_space(s, at);
	if (at == s->end || *at != ':')
		return scan_fail(s, at, "':' expected");
	at = skip_space(s, at + 1);
	if (at == s->end)
		return scan_fail(s, at, "value expected");
	return node && node->child_count ? match_name(s, from, at, node, &name) : at;
}

/*
 * Not the member that was expected: another one of those known, or a new one. `at` is its '{' or
 * ',', which may be the whole difference.
 */
RARE const char *scan_unexpected(
    struct scan *s, const char *at, struct trie *node, struct predicted *expected)
{
	struct predicted *p = expected;
	for (int ahead = 0; p->len != PREDICT_END && ahead <= PREDICT_AHEAD; ahead++, p++) {
		if (is_same(s, at + 1, p->text + 1, p->len - 1)) {
			s->match = p->match;
			s->next = p + 1;
			return at + p->len;
		}
	}
	s->next = expected;
	return scan_name(s, at, node);
}

RARE const char *scan_object(struct scan *s, const char *at, struct trie *node)
{
	static struct predicted nothing = {.len = PREDICT_END};
	struct predicted *next = node && node->predict ? node->predict : &nothing;
	const char *open = at, *first = skip_space(s, at + 1);
	if (first < s->end && *first == '}')
		return first + 1;
	for (;;) {
		if (is_same(s, at, next->text, next->len)) {
			at = scan_value(s, at + next->len, next->match);
			next++;
		} else {
			at = skip_space(s, at);
			if (at == s->end)
				return scan_fail(s, at, "unterminated object");
			if (*at == '}')
				return at + 1;
			if (*at != ',' && at != open)
				return scan_fail(s, at, "',' or '}' expected");
			at = scan_unexpected(s, at, node, next);
			if (!at)
				return NULL;
			next = s->next;
			at = walk_value(s, at, s->match);
		}
		if (!at)
			return NULL;
	}
}

static const char *scan_array(struct scan *s, const char *at, struct trie *node)
{
	at = skip_space(s, at + 1);
	if (at < s->end && *at == ']')
		return at + 1;
	for (int64_t nth = 0;; nth++) {
		struct match match = {.node = node ? trie_element(node, nth) : NULL, .exact = true};
		at = skip_space(s, at);
		if (at == s->end)
			return scan_fail(s, at, "value expected");
		at = scan_value(s, at, match);
		if (!at)
			return NULL;
		if (at < s->end && *at == ',') {
			at++;
			continue;
		}
		at = skip_space(s, at);
		if (at == s->end)
			return scan_fail(s, at, "unterminated array");
		if (*at == ']')
			return at + 1;
		if (*at++ != ',')
			return scan_fail(s, at - 1, "',' or ']' expected");
	}
}

/* ---- documents ------------------------------------------------------------------------------- */

INLINE bool scan_document(struct scan *s)
{
	const char *at = s->start;
	if (s->end - at >= 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0)
		at += 3;
	at = skip_space(s, at);
	if (s->paths && at < s->end && *at == '{')
		at = scan_object(s, at, &s->paths->root);
	else if (s->paths)
		at = scan_fail(s, at, "an object is expected");
	else if (at == s->end)
		at = scan_fail(s, at, "value expected");
	else
		at = scan_kind(s, at, NULL, &s->unwanted);
	if (!at)
		return false;
	at = skip_space(s, at);
	if (at != s->end)
		scan_fail(s, at, "bytes behind the end of the document");
	return at == s->end;
}

enum err json_scan(struct json_paths *p, struct str doc, struct json_value *values)
{
	if (p->count)
		memset(values, 0, p->count * sizeof(*values));
	if (!doc.ptr)
		doc = STR("");
	struct scan s;
	s.start = doc.ptr;
	s.end = doc.ptr + doc.len;
	s.paths = p;
	p->document++;
	s.values = values;
	s.depth = 1;
	if (!scan_document(&s))
		return err_note(
		    ERR_BAD_JSON, "%s at byte %zu", s.what, (size_t)(s.failed_at - s.start) + 1);
	for (size_t i = 0; i < p->shared_count; i++)
		values[p->shared[i].to] = values[p->shared[i].from];
	return ERR_OK;
}

bool json_is_valid(struct str doc)
{
	if (!doc.ptr)
		return false;
	struct scan s = {.end = doc.ptr + doc.len, .start = doc.ptr};
	return scan_document(&s);
}
