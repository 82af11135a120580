/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of flip_test: what must come of harm to which bytes. The verdicts are those of
 * recovery (log/base/err.def), as log/README.md has them.
 */
#include "test/crash/flip.h"

const char flip_large_only[] = "only in the larger directory";
#define LOST_SEGMENT "lost: damaged+missing_segment"
#define LOST_END     "lost: damaged+rebuilt"
#define REFUSED      "refused: LOST_SUFFIX"

static const char no_times[] = "nobody searches the catalog by time";

static const struct flip_want bit_wants[] = {
    {"segment header", LOST_SEGMENT, LOST_SEGMENT, "no frame can be read without its secret"},
    {"frame header", "lost: damaged", "lost: damaged", NULL},
    {"batch", "lost: damaged", "lost: damaged", NULL},
    {"last frame: header", "lost: damaged", "lost: damaged", NULL},
    {"last frame: batch", "lost: damaged", "lost: damaged", NULL},
    {"active segment header", REFUSED, REFUSED, "the end of the log is not known"},
    {"active: frame header", "lost: damaged", NULL, NULL},
    {"active: frame header", NULL, "lost: damaged", flip_large_only},
    {"active: frame header", NULL, "lost: damaged+rebuilt", flip_large_only},
    {"active: frame header", NULL, "lost: damaged+index_bad", flip_large_only},
    {"active: batch", "lost: damaged", NULL, NULL},
    {"active: batch", NULL, "lost: damaged", flip_large_only},
    {"active: last frame: header", "lost: damaged+rebuilt", NULL, "the record knows the end"},
    {"active: last frame: batch", "lost: damaged", NULL, NULL},
    {"frame since the checkpoint", NULL, "same", "written anew from the journal (DISTRUST)"},
    {"catalog: segment header", REFUSED, REFUSED, "without topics nothing is served"},
    {"catalog: last frame: header", "refused: CORRUPT", "refused: CORRUPT",
        "without topics nothing is served"},
    {"catalog: last frame: batch", "refused: CORRUPT", "refused: CORRUPT",
        "without topics nothing is served"},
    {"index header", "same: rebuilt", "same: rebuilt", NULL},
    {"index: last entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: last entry, timestamp", "same: rebuilt", "same: rebuilt", NULL},
    {"index: first entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: first entry, rest", "same: rebuilt", "same: rebuilt", NULL},
    {"index: entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: entry, rest", "same: rebuilt", "same: rebuilt", NULL},
    {"index: entry", "same: index_bad+rebuilt", "same: index_bad+rebuilt",
        "of the active segment, met by an offset first; a start looks at the first entry"},
    {"index: entry, rest", NULL, "same: index_bad+rebuilt", "as above"},
    {"catalog index: last entry", "same: rebuilt", "same: rebuilt", NULL},
    {"catalog index: last entry, timestamp", "same", "same", no_times},
    {"active: frame header", "lost: damaged+index_bad", NULL,
        "an offset that is not where the index says"},
    {"producer snapshot", "same: rebuilt", "same: rebuilt", "when a producer comes again"},
    {"older producer snapshot", "same", "same", "nobody reads it while there is a newer one"},
    {"journal file header", "same: journal_rot", "same: journal_rot", NULL},
    {"current journal file header", NULL, "same: journal_rot", NULL},
    {"old entry", "same", "same", "the checkpoint covers it"},
    {"unused journal", "same", "same", "zeros of before its first use"},
    {"entry without frames: header", NULL, "same: journal_rot", flip_large_only},
    {"entry without frames: zeros", NULL, "same: journal_rot", flip_large_only},
    {"entry: header", NULL, "same: journal_rot+repaired", NULL},
    {"entry: frames", NULL, "same: journal_rot+repaired", NULL},
    {"entry: items", NULL, "same: journal_rot+repaired", NULL},
    {"entry: zeros", NULL, "same: journal_rot+repaired", NULL},
    {"last entry: header", NULL, "same", "a MARK: it says nothing that others do not"},
    {"last entry: zeros", NULL, "same: torn_round", NULL},
    {"newest checkpoint", "same: distrust", "same", "torn while it was written: the one before"},
    {"older checkpoint", "same", "same", "nobody reads it while the newest is good"},
    {.region = NULL}};

static const struct flip_want cut_wants[] = {{"segment header", LOST_SEGMENT, LOST_SEGMENT, NULL},
    {"frame header", LOST_END, LOST_END, NULL},
    {"frame header", LOST_SEGMENT, LOST_SEGMENT, "before the first: nothing to index"},
    {"batch", LOST_END, LOST_END, NULL}, {"last frame: header", LOST_END, LOST_END, NULL},
    {"last frame: header", LOST_SEGMENT, LOST_SEGMENT, "right before it: the index is good"},
    {"last frame: batch", LOST_END, LOST_END, NULL},
    {"active segment header", REFUSED, REFUSED, NULL},
    {"active: frame header", REFUSED, NULL, NULL},
    {"active: frame header", NULL, "lost: damaged+rebuilt", flip_large_only},
    {"active: frame header", NULL, "lost: damaged", flip_large_only},
    {"active: batch", REFUSED, NULL, NULL},
    {"active: batch", NULL, "lost: damaged+rebuilt", flip_large_only},
    {"active: batch", NULL, "lost: damaged", flip_large_only},
    {"old entry", NULL, "older: torn_tail", flip_large_only},
    {"entry without frames: header", NULL, "older: torn_tail", flip_large_only},
    {"entry without frames: zeros", NULL, "older: torn_tail", flip_large_only},
    {"active: last frame: header", REFUSED, NULL, NULL},
    {"active: last frame: batch", REFUSED, NULL, NULL},
    {"frame since the checkpoint", NULL, "same", "from the journal"},
    {"catalog: segment header", REFUSED, REFUSED, NULL},
    {"catalog: last frame: header", REFUSED, REFUSED, NULL},
    {"catalog: last frame: batch", REFUSED, REFUSED, NULL},
    {"index header", "same: rebuilt", "same: rebuilt", NULL},
    {"index: first entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: first entry, rest", "same: rebuilt", "same: rebuilt", NULL},
    {"index: entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: entry, rest", "same: rebuilt", "same: rebuilt", NULL},
    {"index: last entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: last entry, timestamp", "same: rebuilt", "same: rebuilt", NULL},
    {"catalog index: last entry", "same: rebuilt", "same: rebuilt", NULL},
    {"catalog index: last entry, timestamp", "same: rebuilt", "same: rebuilt", NULL},
    {"producer snapshot", "same: rebuilt", "same: rebuilt", NULL},
    {"older producer snapshot", "same", "same", "nobody reads it while there is a newer one"},
    {"journal file header", "same: journal_rot", "same: journal_rot", NULL},
    {"current journal file header", NULL, "older: journal_rot+torn_tail", NULL},
    {"old entry", "same", "same", "the checkpoint covers it"},
    {"unused journal", "same", "same", "zeros of before its first use"},
    /* one copy cannot tell a journal that was cut from an older one: proofs can */
    {"entry: header", NULL, "older: torn_tail", NULL},
    {"entry: frames", NULL, "older: torn_tail", NULL},
    {"entry: items", NULL, "older: torn_tail", NULL},
    {"entry: zeros", NULL, "older: torn_tail", NULL},
    {"last entry: header", NULL, "same", "a MARK: it says nothing that others do not"},
    {"last entry: zeros", NULL, "same", "a MARK: it says nothing that others do not"},
    {"newest checkpoint", "same: distrust", "same", "torn while it was written: the one before"},
    {"older checkpoint", "same", "same", "nobody reads it while the newest is good"},
    {.region = NULL}};

static const struct flip_want longer_wants[] = {
    {"zeros behind a sealed segment", "same, blocked: damaged+rebuilt",
        "same, blocked: damaged+rebuilt", "it may have been frames"},
    {"garbage behind a sealed segment", "same, blocked: damaged+rebuilt",
        "same, blocked: damaged+rebuilt", "it may have been frames"},
    {"zeros behind the active segment", "same: torn_tail", "same: torn_tail", NULL},
    {"garbage behind the active segment", "same: torn_tail", "same: torn_tail", NULL},
    {"zeros behind an index", "same: rebuilt", "same: rebuilt", NULL},
    {"zeros behind an index", "same", "same", "less than an entry: cut off"},
    {"garbage behind an index", "same: rebuilt", "same: rebuilt", "sealed"},
    {"garbage behind an index", "same", "same", "of the active segment: cut off"},
    {"zeros behind a snapshot", "same: rebuilt", "same: rebuilt", NULL},
    {"garbage behind a snapshot", "same: rebuilt", "same: rebuilt", NULL},
    {"zeros behind a journal file", "same", "same", "its length is in its header"},
    {"garbage behind a journal file", "same", "same", "its length is in its header"},
    {"zeros behind the checkpoint", NULL, "same", "its length is in its header"},
    {"garbage behind the checkpoint", NULL, "same", "its length is in its header"},
    {"zeros behind the checkpoint", "same", NULL, "its length is in its header"},
    {"garbage behind the checkpoint", "same", NULL, "its length is in its header"},
    {"zeros behind an older file", "same", "same", "nobody reads it"},
    {"garbage behind an older file", "same", "same", "nobody reads it"},
    {"zeros behind another file", "same", "same", "the lock: its bytes say nothing"},
    {"garbage behind another file", "same", "same", "the lock: its bytes say nothing"},
    {.region = NULL}};

const struct flip_want *const flip_wants[FLIP_HARMS] = {bit_wants, cut_wants, longer_wants};

/* ---- the directory with every form ----------------------------------------------------------- */

#define BLOCKED     "same, blocked: damaged"
#define BLOCKED_ALL "same, blocked: damaged+missing_segment"
#define BLOCKED_END "same, blocked: damaged+rebuilt"
static const char holes_only[] = "nothing but holes is behind it",
                  no_producers[] = "of a partition that nobody asks for producers",
                  not_in_journal[] = "the journal has not",
                  in_load[] = "met by a producer's load first",
                  mended[] = "met by a load first, and the journal has it",
                  last_padding[] = "the end of the segment is verified";

static const struct flip_want bit_forms[] = {
    {"catalog index: entry", "same: rebuilt", "same: rebuilt",
        "where the search at a start meets it"},
    {"catalog index: entry", "same", "same", "else: each use is checked by the frame"},
    {"catalog index: entry, rest", "same: rebuilt", "same: rebuilt", "as above"},
    {"catalog index: entry, rest", "same", "same", no_times},
    {"segment header", BLOCKED_ALL, BLOCKED_ALL, holes_only},
    {"last frame: header", BLOCKED, BLOCKED, "a hole"},
    {"last frame: batch", BLOCKED, BLOCKED, "a hole"},
    {"hole: header", BLOCKED, BLOCKED, "what is behind it is found by the index"},
    {"hole", BLOCKED, BLOCKED, NULL}, {"producer snapshot", "same", "same", no_producers},
    {"active: frame header", "lost: damaged+rebuilt", NULL,
        "the last before padding: the record knows the end"},
    {"active: frame header", NULL, "lost: damaged+index_bad",
        "an offset that is not where the index says"},
    {"index: entry, rest", "same: index_bad+rebuilt", NULL, "a length that is more than there is"},
    {"active: last frame: header", NULL, "lost: damaged+rebuilt", "the record knows the end"},
    {"active: last frame: batch", NULL, "lost: damaged", "nothing was appended since"},
    {"active: frame header", "same: repaired", NULL, mended},
    {"active: batch", "same: repaired", NULL, mended},
    {"active: last frame: header", BLOCKED_END "+repaired", NULL, mended},
    {"active: last frame: batch", "same: repaired", NULL, mended},
    {"active: padding: header", BLOCKED, BLOCKED, "what is behind it is found by the index"},
    {"active: padding: header", BLOCKED_END, NULL, last_padding},
    {"active: padding", "same", "same", "zeros that nobody reads but fsck"},
    {"active: padding", BLOCKED_END, NULL, last_padding},
    {"DIRECT frame since the checkpoint", NULL, "lost: damaged", not_in_journal},
    {"DIRECT frame since the checkpoint", NULL, BLOCKED, "the header of its padding"},
    {"DIRECT frame since the checkpoint", NULL, "same", "its padding"},
    {"catalog: frame header", "refused: CORRUPT", "refused: CORRUPT",
        "without topics nothing is served"},
    {"catalog: batch", "refused: CORRUPT", "refused: CORRUPT", "without topics nothing is served"},
    {.region = NULL}};

static const struct flip_want cut_forms[] = {
    {"index header", "same: index_read+rebuilt", "same: index_read+rebuilt", in_load},
    {"index: first entry", "same: index_read+rebuilt", "same: index_read+rebuilt", in_load},
    {"index: first entry, rest", "same: index_read+rebuilt", "same: index_read+rebuilt", in_load},
    {"index: last entry", "same: index_read+rebuilt", "same: index_read+rebuilt", in_load},
    {"index: last entry, timestamp", "same: index_read+rebuilt", "same: index_read+rebuilt",
        in_load},
    {"catalog index: entry", "same: rebuilt", "same: rebuilt", NULL},
    {"catalog index: entry, rest", "same: rebuilt", "same: rebuilt", NULL},
    {"active: batch", NULL, "lost: damaged+index_bad",
        "an offset that is not where the index says"},
    {"active: frame header", NULL, "lost: damaged+index_bad",
        "an offset that is not where the index says"},
    {"active: padding: header", NULL, "lost: damaged+index_bad",
        "an offset that is not where the index says"},
    {"active: padding", NULL, "lost: damaged+index_bad",
        "an offset that is not where the index says"},
    {"segment header", BLOCKED_ALL, BLOCKED_ALL, holes_only},
    {"last frame: header", BLOCKED_END, BLOCKED_END, "a hole"},
    {"last frame: header", BLOCKED_ALL, BLOCKED_ALL, "right before it: the index is good"},
    {"producer snapshot", "same", "same", no_producers},
    {"last frame: batch", BLOCKED_END, BLOCKED_END, "a hole"},
    {"hole: header", LOST_END, LOST_END, NULL}, {"hole: header", LOST_SEGMENT, LOST_SEGMENT, NULL},
    {"hole", LOST_END, LOST_END, NULL}, {"active: last frame: header", NULL, REFUSED, NULL},
    {"active: last frame: batch", NULL, REFUSED, NULL},
    {"active: padding: header", REFUSED, "lost: damaged", NULL},
    {"active: padding", REFUSED, "lost: damaged", NULL},
    {"frame since the checkpoint", NULL, "lost: damaged", "with the DIRECT frame behind it"},
    {"DIRECT frame since the checkpoint", NULL, "lost: damaged", not_in_journal},
    {"DIRECT frame since the checkpoint", NULL, BLOCKED, "the header of its padding"},
    {"DIRECT frame since the checkpoint", NULL, "same", "its padding"},
    {"entry: frames", NULL, "older: torn_round+torn_tail", "the entry is partly there"},
    {"entry: items", NULL, "older: torn_round+torn_tail", "the entry is partly there"},
    {"entry: zeros", NULL, "older: torn_round+torn_tail", "the entry is partly there"},
    {"catalog: frame header", REFUSED, REFUSED, NULL}, {"catalog: batch", REFUSED, REFUSED, NULL},
    {.region = NULL}};
static const struct flip_want longer_forms[] = {
    {"zeros behind a snapshot", "same", "same", no_producers},
    {"garbage behind a snapshot", "same", "same", no_producers}, {.region = NULL}};
const struct flip_want *const flip_wants_forms[FLIP_HARMS] = {bit_forms, cut_forms, longer_forms};

/* ---- a journal elsewhere --------------------------------------------------------------------- */

/*
 * Two lines of text, id= and a path. A flip in a line's key or in the id's form is CORRUPT, in the
 * id the journal is another log's (REFUSED), in the location's path it is not there.
 */
static const struct flip_want bit_outside[] = {{"journal.location", "refused: CORRUPT", NULL, NULL},
    {"journal.location", "refused: REFUSED", NULL, "another id"},
    {"journal.location", "refused: NO_JOURNAL", NULL, "another path"},
    {"journal.location", "refused: INVALID", NULL, "a path that is not absolute"},
    {"journal.location", "same", NULL, "a letter of the id in upper case"},
    {"owner", "refused: CORRUPT", NULL, NULL}, {"owner", "refused: REFUSED", NULL, "another id"},
    {"owner", "same", NULL, "the log's path, for people; a letter of the id in upper case"},
    {.region = NULL}};
static const struct flip_want cut_outside[] = {{"journal.location", "refused: CORRUPT", NULL, NULL},
    {"journal.location", "same", NULL, "without the end of the last line"},
    {"owner", "refused: CORRUPT", NULL, NULL},
    {"owner", "same", NULL, "without the end of the last line"}, {.region = NULL}};
static const struct flip_want longer_outside[] = {
    {"zeros behind another file", "same", NULL, "not a line of ours"},
    {"garbage behind another file", "same", NULL, "not a line of ours"}, {.region = NULL}};
const struct flip_want *const flip_wants_outside[FLIP_HARMS] = {
    bit_outside, cut_outside, longer_outside};
