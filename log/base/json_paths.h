/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What json.c and json_paths.c share: the trie of wanted paths and what it has learnt about the
 * order of names. Inside log/base only.
 */
#include "json.h"

enum {
	PREDICT_MEMBERS = 64,
	PREDICT_AHEAD = 4, /* names that may be left out between two that come */
	PREDICT_BYTES = 40,
};

struct trie;
/* What a name or an index of the document leads to. */
struct match {
	struct trie *node; /* NULL: of no interest */
	uint16_t value;    /* of a leaf */
	bool leaf;         /* a wanted value and nothing inside it, spelled as in the path */
	bool exact;        /* spelled as in the path, not only the same letters */
};

#define PREDICT_END SIZE_MAX /* longer than any document */

/* One member of an object as it was last seen. */
struct predicted {
	struct match match;
	size_t len; /* of text; PREDICT_END: nothing is known from here on */
	/* from '{' or ',' over name and colon up to the value, with the spaces between */
	char text[PREDICT_BYTES];
};

/* One step of a path; the root is the document. */
struct trie {
	struct str key; /* object member; ptr NULL: array element */
	int64_t index;  /* array element */
	struct trie *children;
	uint16_t child_count, child_capacity;
	uint64_t entered; /* the last document that had it, by number: nodes with children */
	uint16_t value;   /* of values, when wanted */
	bool wanted;      /* the value itself, not only something inside */
	bool exact_case;
	/* PREDICT_MEMBERS and an empty one, for nodes with children */
	struct predicted *predict;
};

/* Several columns with one path: the value is stored once and copied at the end. */
struct shared_value {
	uint16_t from, to;
};

struct json_paths {
	struct arena arena;
	struct trie root;
	struct shared_value *shared;
	size_t shared_count;
	size_t count;      /* of values */
	uint64_t document; /* number of the one being scanned */
	char *name;        /* where a name with escapes is unescaped */
	size_t name_max;   /* longer ones, as spelled, match no path */
};

/* The first child from number `from` on that `key` names; its number, or child_count. */
uint16_t trie_match(
    const struct trie *node, uint16_t from, struct str key, struct match *ret_match);
/* The child for an array element; NULL when it is of no interest. */
struct trie *trie_element(const struct trie *node, int64_t index);
/* Remembers `text`, and what it led to, at `place` of node->predict; returns the place behind. */
struct predicted *trie_learn(
    const struct trie *node, struct predicted *place, struct str text, struct match match);
/* A string's text without its escapes, into v.text.len bytes at `out`. Errors as json_unescape. */
MUST_USE enum err json_unescape_to(struct str text, char *out, size_t *ret_len);
