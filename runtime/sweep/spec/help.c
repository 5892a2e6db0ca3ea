/* help.c - see help.h for the contract.
 *
 * A text is read line by line.  An option's line begins, after few blanks, with its
 * names; two blanks, or the end of the line, end what it takes and begin what it is.
 * The lines below it that stand further right go on with that text:
 *
 *     -l LR, --lr LR   learning rate, of which the
 *                      logarithm counts (default: 0.01)
 *     ^ indent         ^ column
 */
#include "sweep/spec/help.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_BYTES 1024     /* the rest of a line is passed over */
#define INDENT_MAX 14           /* further right no option begins */
#define TAB 8

struct line {
    char text[LINE_MAX_BYTES];
    size_t indent;              /* of the first character that is no blank */
};

struct reader {
    const char *at, *end;
    struct help *help;
    struct help_option *open;   /* whose text goes on; NULL: none */
    size_t indent, column;      /* of it; column 0: its text has not begun */
    bool in_words;              /* below "positional arguments:" */
    size_t words_indent;        /* of the first of them; 0: none yet */
};

/* ---- lines --------------------------------------------------------------------------- */

/* ESC [ 1 m and its like colour a text. */
static const char *skip_escape(const char *p, const char *end)
{
    if (p + 1 >= end || p[1] != '[')
        return p + 1;
    for (p += 2; p < end && *p != '\n' && !(*p >= '@' && *p <= '~');)
        p++;
    return p < end && *p != '\n' ? p + 1 : p;
}

/* The lines of boxes (U+2500 to U+257F), which rich draws around options. */
static bool is_box(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    return end - p >= 3 && u[0] == 0xe2 && (u[1] == 0x94 || u[1] == 0x95);
}

static void put(struct line *line, size_t *len, char c)
{
    if (*len < LINE_MAX_BYTES - 1)
        line->text[(*len)++] = c;
}

/* The next line without its end, tabs, colours and boxes.  False: there is none. */
static bool next_line(struct reader *r, struct line *line)
{
    size_t len = 0;
    bool boxed = false;
    if (r->at == r->end)
        return false;
    while (r->at < r->end && *r->at != '\n') {
        if (*r->at == '\033') {
            r->at = skip_escape(r->at, r->end);
            continue;
        }
        bool box = is_box(r->at, r->end);
        boxed = boxed || box;
        if (*r->at == '\t')
            for (size_t n = TAB - len % TAB; n > 0; n--)
                put(line, &len, ' ');
        else
            put(line, &len, box || iscntrl((unsigned char)*r->at) ? ' ' : *r->at);
        r->at += box ? 3 : 1;
    }
    r->at += r->at < r->end;
    while (len > 0 && line->text[len - 1] == ' ')
        len--;
    line->text[len] = 0;
    line->indent = strspn(line->text, " ");
    if (boxed && line->text[line->indent] == '*') { /* "required", in a box */
        line->text[line->indent] = ' ';
        line->indent = strspn(line->text, " ");
    }
    return true;
}

/* ---- words --------------------------------------------------------------------------- */

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name_char(char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '-' || c == '.'; }

/* Two blanks or the end: what an option takes is over. */
static bool is_gap(const char *p) { return !*p || (p[0] == ' ' && (p[1] == ' ' || !p[1])); }

static bool is_option(const char *p)
{
    return p[0] == '-' && (is_letter(p[1]) || (p[1] == '-' && (is_letter(p[2]) || p[2] == '[')));
}

/* @len bytes of @from as a text; false where they do not fit. */
static bool copy(char *out, size_t size, const char *from, size_t len)
{
    bool fits = len < size;
    if (fits)
        memcpy(out, from, len);
    out[fits ? len : 0] = 0;
    return fits;
}

static bool is_word(const char *word, size_t len, const char *const *words)
{
    for (; *words; words++)
        if (strlen(*words) == len && strncasecmp(*words, word, len) == 0)
            return true;
    return false;
}

static enum help_type type_of(const char *word, size_t len)
{
    static const char *const ints[] = {"int", "integer", "uint", "long", "int32", "int64", NULL};
    static const char *const floats[] = {"float", "double", "float32", "float64", "number", "real", NULL};
    static const char *const paths[] = {"path", "file", "filename", "dir", "directory", "folder", NULL};
    static const char *const texts[] = {"text", "string", "str", "duration", "url", NULL};
    static const char *const bools[] = {"bool", "boolean", NULL};
    static const struct { enum help_type type; const char *const *words; } types[] = {
        {HELP_INT, ints}, {HELP_FLOAT, floats}, {HELP_PATH, paths}, {HELP_TEXT, texts}, {HELP_BOOL, bools},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (is_word(word, len, types[i].words))
            return types[i].type;
    return HELP_UNKNOWN;
}

/* ---- what an option takes ------------------------------------------------------------ */

static bool is_listed(const struct help_option *o, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(o->choices[i], o->choices[count]) == 0)
            return true;
    return false;
}

/* "adam,sgd" between brackets, each once.  All of them, or none. */
static void read_choices(struct help_option *o, const char *p, size_t len, char separator)
{
    const char *end = p + len;
    size_t count = 0;
    o->choice_count = 0;        /* they may be written over */
    for (;;) {
        const char *next = memchr(p, separator, (size_t)(end - p));
        const char *last = next ? next : end;
        while (p < last && (*p == ' ' || *p == '\'' || *p == '"'))
            p++;
        while (last > p && (last[-1] == ' ' || last[-1] == '\'' || last[-1] == '"'))
            last--;
        if (last == p || count == HELP_CHOICES_MAX ||
            !copy(o->choices[count], HELP_WORD_MAX, p, (size_t)(last - p)))
            return;
        count += !is_listed(o, count);
        if (!next)
            break;
        p = next + 1;
    }
    o->choice_count = count;
}

static const char *closing(const char *p)
{
    char close = *p == '{' ? '}' : *p == '[' ? ']' : *p == '<' ? '>' : 0;
    return close ? strchr(p, close) : NULL;
}

/* The end of the word at @p: a comma ends it where a blank follows. */
static const char *word_end(const char *p)
{
    while (*p && *p != ' ' && *p != ']' && !(*p == ',' && (p[1] == ' ' || !p[1])))
        p++;
    return p;
}

/* More words behind the first: "N [N ...]", "X Y", but not "INTEGER RANGE". */
static const char *skip_more(struct help_option *o, const char *p)
{
    for (;;) {
        if (strncmp(p, "...", 3) == 0) {
            o->is_many = true;
            p += 3;
            continue;
        }
        const char *word = p[0] == ' ' ? p + 1 : p, *end = closing(word);
        if (p[0] != ' ' || is_gap(p) || is_option(word))
            return p;
        end = end ? end + 1 : word_end(word);
        bool shouts = end > word;
        for (const char *c = word; c < end && *word != '['; c++)
            shouts = shouts && !(*c >= 'a' && *c <= 'z') && *c != ',' && *c != '/' && *c != '|';
        if (!shouts)
            return p;
        o->is_many = o->is_many || strncmp(word, "RANGE", 5) != 0;
        p = end;
    }
}

/* LR, {adam,sgd}, [adam|sgd], <lr>, N [N ...].  Returns its end. */
static const char *take_value(struct help_option *o, const char *p)
{
    const char *close = closing(p), *end = close ? close + 1 : word_end(p);
    const char *word = close ? p + 1 : p, *last = close ? close : end;
    size_t len = (size_t)(last - word);
    o->takes_value = true;
    if (memchr(word, '|', len))
        read_choices(o, word, len, '|');
    else if (*p == '{')
        read_choices(o, word, len, ',');
    else if (o->type == HELP_UNKNOWN)
        o->type = type_of(word, len);
    return skip_more(o, end);
}

/* Is what follows a name after one blank what it takes, and not already prose? */
static bool is_value(const char *p)
{
    if (closing(p))
        return true;
    const char *end = word_end(p);
    bool shouts = end > p;
    for (const char *c = p; c < end; c++)
        shouts = shouts && !(*c >= 'a' && *c <= 'z');
    return shouts || (end > p && (is_gap(end) || *end == ',' || end[1] == '['));
}

/* ---- names --------------------------------------------------------------------------- */

/* What turns an option off: the name behind a slash, or its own with "no" before. */
static bool is_off(const struct help_option *o, const char *name, size_t len, bool slashed)
{
    static const char *const nos[] = {"no-", "no_", "no"};
    for (size_t i = 0; i < 3 && !slashed; i++) {
        size_t no = strlen(nos[i]);
        slashed = len > no && strncmp(name, nos[i], no) == 0 && strlen(o->name) == len - no &&
                  strncmp(name + no, o->name, len - no) == 0;
    }
    return slashed;
}

/* --lr, -lr, --[no-]amp; not -l, which no sweep's --l=1 would reach.  Returns its end. */
static const char *take_name(struct help_option *o, const char *p, bool slashed)
{
    const char *no = "";
    bool is_long = p[1] == '-';
    p += is_long ? 2 : 1;
    if (strncmp(p, "[no-]", 5) == 0 || strncmp(p, "[no]", 4) == 0) {
        no = p[3] == '-' ? "no-" : "no";
        p += strlen(no) + 2;
    }
    size_t len = 0;
    while (is_letter(p[0]) && is_name_char(p[len]))
        len++;
    if ((unsigned char)p[len] >= 0x80)          /* "größe": no file can name it, and "gr" is another */
        return p + strcspn(p, " =,/|[:");
    while (len > 0 && p[len - 1] == '.')
        len--;
    if (!o->name[0] && len > (is_long ? 0 : 1) && copy(o->name, sizeof o->name, p, len) && *no)
        snprintf(o->off, sizeof o->off, "%s%.*s", no, (int)len, p);
    else if (o->name[0] && is_long && !o->off[0] && is_off(o, p, len, slashed))
        (void)copy(o->off, sizeof o->off, p, len);
    return p + len;
}

/* From behind a name to what follows: what it takes, or nothing. */
static const char *take_attached(struct help_option *o, const char *p)
{
    if (*p == '=')
        return is_gap(p + 1) ? p + 1 : take_value(o, p + 1);
    if (p[0] == ',' && p[1] && p[1] != ' ') { /* -Wl,OPTIONS */
        o->is_many = o->takes_value = true;
        return p + strcspn(p, " ");
    }
    if (p[0] == '[' && p[1] == '=') {
        p = take_value(o, p + 2);
        return *p == ']' ? p + 1 : p;
    }
    if (p[0] == ' ' && !is_gap(p) && !is_option(p + 1) && is_value(p + 1) && !strchr(",/|", p[1]))
        return take_value(o, p + 1);
    return p;
}

/* A type stands in a column of its own: "--lr    FLOAT    learning rate". */
static bool is_type_column(const char *p)
{
    const char *close = closing(p), *end = close ? close + 1 : word_end(p);
    if (!is_gap(end) && strncmp(end, " RANGE", 6) != 0)
        return false;
    return close ? memchr(p, '|', (size_t)(close - p)) != NULL
                 : *p >= 'A' && *p <= 'Z' && type_of(p, (size_t)(end - p)) != HELP_UNKNOWN;
}

/* Behind "--lr:", as absl has it: a text, before which choices may stand. */
static const char *read_colon(struct help_option *o, const char *p)
{
    o->takes_value = !o->off[0];
    p += strspn(p, " ");
    const char *close = *p == '<' ? closing(p) : NULL;
    if (close && close[1] == ':') {
        take_value(o, p);
        p = close + 2;
    }
    return p + strspn(p, " ");
}

/* Names and what they take.  Returns where the text begins, perhaps an end. */
static const char *read_names(struct help_option *o, const char *p)
{
    bool slashed = false;
    while (is_option(p)) {
        p = take_attached(o, take_name(o, p, slashed));
        const char *next = p + strspn(p, " ");
        slashed = *next == '/';
        if (*next == ',' || *next == '/' || *next == '|')
            next += 1 + strspn(next + 1, " ");
        else if (*p == ':')
            return read_colon(o, p + 1);
        if (is_option(next))
            p = next;
    }
    p += strspn(p, " ");
    if (!o->takes_value && is_type_column(p)) {
        p = take_value(o, p);
        p += strspn(p, " ");
    }
    return p;
}

/* ---- what its text tells ------------------------------------------------------------- */

/* Behind "default": ": 3", "=3", "s to 'adam'", " is 3". */
static const char *skip_to_default(const char *p)
{
    static const char *const words[] = {"s", "value", "is", "to", "of"};
    for (size_t i = 0; i < sizeof words / sizeof *words;) {
        size_t len = strlen(words[i]);
        p += strspn(p, " :=");
        bool here = strncmp(p, words[i], len) == 0 && !is_name_char(p[len]);
        p += here ? len : 0;
        i = here ? 0 : i + 1;
    }
    return p + strspn(p, " :=");
}

static bool is_none(const char *word)
{
    static const char *const nones[] = {"None", "none", "null", "nil", "unset", "required", "%default", NULL};
    return is_word(word, strlen(word), nones);
}

static void set_default(struct help_option *o, const char *p)
{
    p = skip_to_default(p);
    bool quoted = *p == '\'' || *p == '"' || *p == '`';
    const char *end = quoted ? strchr(p + 1, *p) : p + strcspn(p, " ,;)]");
    if (quoted)
        p++;
    if (!end || end == p || *p == '[' || *p == '(')
        return;
    size_t len = (size_t)(end - p);
    if (!quoted && len > 1 && p[len - 1] == '.' && !*end)
        len--;                  /* a sentence's end, not a number's point */
    if (!copy(o->standard, sizeof o->standard, p, len) || is_none(o->standard))
        o->standard[0] = 0;
}

/* The place of a default: the last "(default", "[default", else the first "default". */
static const char *find_default(const char *text)
{
    const char *found = NULL;
    bool bracketed = false;
    for (const char *p = text; (p = strcasestr(p, "default")) != NULL; p += strlen("default")) {
        bool opened = p > text && (p[-1] == '(' || p[-1] == '[');
        if (p > text && is_name_char(p[-1]))
            continue;
        if (opened || !found)
            found = p + strlen("default");
        bracketed = bracketed || opened;
    }
    /* In prose, only where it is said what it is. */
    if (found && !bracketed && !strchr(":= s", *found))
        return NULL;
    return found;
}

static void read_text(struct help_option *o)
{
    static const char possible[] = "[possible values: ", type[] = "(type: ";
    const char *p = find_default(o->text);
    if (p)
        set_default(o, p);
    p = strstr(o->text, possible);
    const char *end = p ? strchr(p, ']') : NULL;
    if (end && o->choice_count == 0)
        read_choices(o, p + strlen(possible), (size_t)(end - p) - strlen(possible), ',');
    p = strstr(o->text, type);
    end = p ? strchr(p, ')') : NULL;
    if (end && type_of(p + strlen(type), (size_t)(end - p) - strlen(type)) != HELP_UNKNOWN)
        o->type = type_of(p + strlen(type), (size_t)(end - p) - strlen(type));
}

/* ---- options ------------------------------------------------------------------------- */

static void add_text(struct help_option *o, const char *words)
{
    size_t len = strlen(o->text);
    if (*words)
        snprintf(o->text + len, sizeof o->text - len, "%s%s", len > 0 ? " " : "", words);
}

/* Does an option before @o have the name, as its own or to be turned off by? */
static bool is_known(const struct help *help, const struct help_option *o, const char *name)
{
    for (const struct help_option *k = help->options; k < o; k++)
        if (strcmp(k->name, name) == 0 || strcmp(k->off, name) == 0)
            return true;
    return false;
}

/* The open option has all its lines. */
static void close_option(struct reader *r)
{
    struct help_option *o = r->open;
    r->open = NULL;
    if (!o || !o->name[0] || is_known(r->help, o, o->name))
        return;
    assert(o == &r->help->options[r->help->count]);
    if (strcmp(o->off, o->name) == 0 || is_known(r->help, o, o->off))
        o->off[0] = 0;          /* an option of its own */
    read_text(o);
    r->help->count++;
}

static void open_option(struct reader *r, const struct line *line)
{
    close_option(r);
    if (r->help->count == HELP_OPTIONS_MAX) {
        r->help->left_out++;
        return;
    }
    struct help_option *o = &r->help->options[r->help->count];
    *o = (struct help_option){0};
    const char *text = read_names(o, line->text + line->indent);
    r->open = o;
    r->indent = line->indent;
    r->column = *text ? (size_t)(text - line->text) : 0;
    add_text(o, text);
}

static void add_word(struct help *help, const char *word, size_t len)
{
    char (*at)[HELP_WORD_MAX] = &help->words[help->word_count];
    if (help->word_count == HELP_WORDS_MAX || !copy(*at, sizeof *at, word, len))
        return;
    for (size_t i = 0; i < help->word_count; i++)
        if (strcasecmp(help->words[i], *at) == 0)
            return;
    help->word_count++;
}

/* "usage: train [-h] --lr LR DATA": DATA, which stands in no brackets, behind no option,
 * and in capitals or as <data>. */
static void read_usage(struct help *help, const char *p)
{
    p += strcspn(p, " ");       /* the program */
    for (bool after_option = false; *(p += strspn(p, " "));) {
        const char *close = closing(p), *end = close ? close + 1 : word_end(p);
        bool shouts = !memchr(p, '.', (size_t)(end - p)) && (*p == '<' || (*p >= 'A' && *p <= 'Z'));
        for (const char *c = p; c < end && *p != '<'; c++)
            shouts = shouts && !(*c >= 'a' && *c <= 'z');
        if (shouts && !after_option)
            add_word(help, p, (size_t)(end - p));
        after_option = *p == '-' && !memchr(p, '=', (size_t)(end - p));
        p = end > p ? end : p + 1;
    }
}

/* A heading ends what came before it, and may say that words follow that are no options. */
static void take_heading(struct reader *r, const char *text)
{
    r->in_words = strcasecmp(text, "positional arguments:") == 0 || strcasecmp(text, "arguments:") == 0;
    r->words_indent = 0;
}

/* Those further right go on with a text. */
static void take_word(struct reader *r, const struct line *line)
{
    const char *word = line->text + line->indent;
    r->words_indent = r->words_indent ? r->words_indent : line->indent;
    if (line->indent == r->words_indent)
        add_word(r->help, word, strcspn(word, " "));
}

static void take_line(struct reader *r, const struct line *line)
{
    bool inside = r->open && r->column > 0 && line->indent >= r->column;
    if (!line->text[line->indent])
        return;
    if (line->indent < INDENT_MAX && !inside && is_option(line->text + line->indent)) {
        open_option(r, line);
    } else if (r->open && line->indent > r->indent) {
        r->column = r->column > 0 ? r->column : line->indent;
        add_text(r->open, line->text + line->indent);
    } else {
        static const char usage[] = "usage: ";
        const char *text = line->text + line->indent;
        close_option(r);
        if (strncasecmp(text, usage, strlen(usage)) == 0)
            read_usage(r->help, text + strlen(usage));
        else if (line->indent == 0)
            take_heading(r, line->text);
        else if (r->in_words)
            take_word(r, line);
    }
}

void help_read(struct help *out, const char *bytes, size_t size)
{
    size_t len = size < HELP_BYTES_MAX ? size : HELP_BYTES_MAX;
    struct reader r = {.at = bytes, .end = bytes + len, .help = out};
    struct line line;
    out->count = out->left_out = out->word_count = 0;
    while (next_line(&r, &line))
        take_line(&r, &line);
    close_option(&r);
}
