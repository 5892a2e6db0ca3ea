/* draft.c - see draft.h for the contract.
 *
 * Names are compared with words between underscores: "lr" is a word of "base-lr",
 * but not of "ctrl".  The first row of a table that fits counts.
 */
#include "sweep/spec/draft.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/space/value.h"
#include "sweep/spec/yaml.h"

#define COMMENT_BYTES_MAX 72    /* of an option's text */
#define COMMENT_COLUMN 30
#define POWER_MIN 8             /* such whole numbers are varied by doubling, if they are powers of two */
#define WHOLE_MAX 1e15          /* doubles and files agree on whole numbers up to here */
#define EPOCHS 27               /* where no option says how many */

/* ---- names --------------------------------------------------------------------------- */

/* "Batch-Size" as "_batch_size_", of which "_size_" is a word. */
static void plain_name(const char *name, char out[HELP_NAME_MAX + 2])
{
    size_t len = 0;
    out[len++] = '_';
    for (; *name; name++)
        out[len++] = *name == '-' || *name == '.' ? '_' : (char)tolower((unsigned char)*name);
    out[len++] = '_';
    out[len] = 0;
}

/* Is one of @words a word of the name, or "=word" all of it? */
static bool has_word(const char *name, const char *const *words)
{
    char plain[HELP_NAME_MAX + 2], word[HELP_NAME_MAX];
    plain_name(name, plain);
    for (; *words; words++) {
        bool is_whole = **words == '=';
        snprintf(word, sizeof word, "_%s_", *words + is_whole);
        if (is_whole ? strcmp(plain, word) == 0 : strstr(plain, word) != NULL)
            return true;
    }
    return false;
}

/* ---- what is not swept --------------------------------------------------------------- */

/* Not even told as a comment. */
static const char *const silent_words[] = {"help", "version", "helpfull", "helpshort", "helpxml", "usage",
                                           "show_completion", "install_completion", NULL};
/* How long a trial runs: the bands of early_terminate follow from its default. */
static const char *const budget_words[] = {"=epochs", "=epoch", "=num_epochs", "=n_epochs", "=max_epochs", "=steps",
                                           "=num_steps", "=max_steps", "=iterations", "=num_iterations", "=iters",
                                           "=max_iter", "=max_iters", NULL};

static const struct { const char *words[24]; const char *why; } held[] = {
    {{"warmup_epochs", "warmup_steps"}, "goes with how long a trial runs"},
    {{"epochs", "epoch", "steps", "num_steps", "iterations", "iters", "niter", "max_iter", "budget", "patience"},
     "how long a trial may run: for early stopping to cut"},
    {{"seed", "random_state"}, "differs by luck alone"},
    {{"device", "cuda", "gpu", "gpus", "mps", "accel", "accelerator", "xpu", "tpu", "amp_backend", "ngpu"},
     "of the machine: see covey.resources"},
    {{"workers", "threads", "jobs", "processes", "nproc", "rank", "world_size", "local_rank", "nodes", "port", "host",
      "master", "dist", "dist_url", "backend"}, "of the machine"},
    {{"data", "dataset", "datasets", "root", "train_file", "input", "download", "split", "corpus"}, "what is learned"},
    {{"dir", "path", "file", "folder", "output", "=out", "save", "log", "logs", "logdir", "checkpoint", "ckpt",
      "resume", "load", "pretrained", "name", "project", "entity", "wandb", "tensorboard", "tag", "config", "url"},
     "where things are"},
    {{"verbose", "quiet", "debug", "dry_run", "interval", "freq", "frequency", "every", "print", "progress", "test",
      "eval", "evaluate", "eval_only", "profile", "color", "plot", "test_batch_size", "eval_batch_size", "show"},
     "how it is watched"},
};

/* Why it is not for the search; NULL: it is. */
static const char *why_held(const struct help_option *o)
{
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (has_word(o->name, held[i].words))
            return held[i].why;
    if (o->type == HELP_PATH)
        return "where things are";
    return o->is_many ? "takes several words" : NULL;
}

/* ---- what it is varied over ---------------------------------------------------------- */

enum shape {
    SHAPE_NONE,                 /* nothing is known of it */
    SHAPE_FLAG, SHAPE_CHOICES, SHAPE_TEXT_BOOL,
    SHAPE_LOG, SHAPE_UNIFORM, SHAPE_WHOLE,
    SHAPE_POWERS,               /* a quarter, a half, it, its double, fourfold */
};

struct range {
    enum shape shape;
    double low, high;           /* of LOG, UNIFORM, WHOLE; POWERS: high is the middle */
    bool is_guess;              /* by its name alone: the text has no default */
};

/* What names mean: how they are varied, and in what range where no default is told. */
static const struct meaning {
    const char *words[16];
    enum shape shape;
    double low, high;
    bool is_share;              /* low and high are fixed ends: it is a part of 1 */
} meanings[] = {
    {{"dropout", "drop", "drop_out", "label_smoothing", "smoothing", "prob", "mixup", "cutmix"},
     SHAPE_UNIFORM, 0, 0.5, true},
    {{"momentum", "beta1", "gamma", "discount", "beta", "ema", "rho", "lr_decay", "decay_rate", "gae_lambda"},
     SHAPE_UNIFORM, 0.5, 0.99, true},
    {{"beta2"}, SHAPE_UNIFORM, 0.9, 0.999, true},
    {{"weight_decay", "wd", "l1", "l2", "reg", "regularization", "penalty"}, SHAPE_LOG, 1e-6, 1e-2, false},
    {{"lr", "learning_rate", "eta", "eta0", "step_size"}, SHAPE_LOG, 1e-4, 1e-1, false},
    {{"eps", "epsilon"}, SHAPE_LOG, 1e-9, 1e-5, false},
    {{"lambda", "alpha", "temperature", "ent_coef", "tau"}, SHAPE_LOG, 1e-2, 10, false},
    {{"batch", "batch_size", "batchsize", "bs"}, SHAPE_POWERS, 0, 64, false},
    {{"hidden", "width", "units", "hidden_size", "hidden_dim", "dim", "channels", "embed_dim", "embedding"},
     SHAPE_POWERS, 0, 128, false},
    {{"layers", "depth", "blocks", "n_layers", "num_layers", "heads"}, SHAPE_WHOLE, 1, 6, false},
    {{"estimators", "n_estimators", "trees"}, SHAPE_WHOLE, 50, 500, false},
};

static const struct meaning *find_meaning(const char *name)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (has_word(name, meanings[i].words))
            return &meanings[i];
    return NULL;
}

/* A default that is a number as a whole. */
static bool read_number(const struct help_option *o, double *out, bool *is_whole)
{
    char *end;
    *out = strtod(o->standard, &end);
    if (end == o->standard || *end || !isfinite(*out) || strpbrk(o->standard, "xXpP"))
        return false;
    *is_whole = o->type != HELP_FLOAT && *out == floor(*out) && fabs(*out) < WHOLE_MAX &&
                !strpbrk(o->standard, ".eE");
    return true;
}

static bool is_power(double x)
{
    int exponent;
    return x >= POWER_MIN && x <= 1u << 30 && frexp(x, &exponent) == 0.5;
}

static struct range whole_range(double x)
{
    if (is_power(x))
        return (struct range){SHAPE_POWERS, 0, x, false};
    if (x < 1)
        return (struct range){.shape = SHAPE_NONE};
    return (struct range){SHAPE_WHOLE, fmax(1, floor(x / 2)), fmax(2 * x, x + 2), false};
}

static struct range share_range(const struct meaning *m, double x)
{
    struct range r = {SHAPE_UNIFORM, m->low, m->high, false};
    if (x > 0 && x < 1 && m->low > 0) { /* near 1: as far below it as five times what is missing */
        r.low = fmax(0, 1 - 5 * (1 - x));
        r.high = 1 - (1 - x) / 5;
    } else if (x > 0 && x < 1) {
        r.high = fmax(m->high, fmin(0.95, 2 * x));
    } else if (m->low > 0 && x == 0) {
        r.low = 0;
    }
    return r;
}

static struct range real_range(const struct meaning *m, double x)
{
    if (m && m->is_share && x >= 0 && x <= 1)
        return share_range(m, x);
    bool is_log = (m && m->shape == SHAPE_LOG) || (x > 0 && x <= 0.001);
    if (x > 0 && is_log && x / 10 > 0 && isfinite(x * 10))
        return (struct range){SHAPE_LOG, x / 10, x * 10, false};
    if (x == 0 && is_log)
        return (struct range){SHAPE_LOG, m->low, m->high, false};
    if (x == 0 || !isfinite(2 * x))
        return (struct range){.shape = SHAPE_NONE};
    if (x > 0.5 && x < 1)       /* a part of 1, most likely */
        return (struct range){SHAPE_UNIFORM, x / 2, 1, false};
    return (struct range){SHAPE_UNIFORM, fmin(x / 2, x * 2), fmax(x / 2, x * 2), false};
}

static bool is_truth(const char *word)
{
    static const char *const truths[] = {"True", "False", "true", "false"};
    for (size_t i = 0; i < sizeof truths / sizeof *truths; i++)
        if (strcmp(word, truths[i]) == 0)
            return true;
    return false;
}

static struct range find_range(const struct help_option *o)
{
    double x;
    bool is_whole;
    const struct meaning *m = find_meaning(o->name);
    if (!o->takes_value)
        return (struct range){SHAPE_FLAG, 0, 0, false};
    if (o->choice_count > 0)
        return (struct range){SHAPE_CHOICES, 0, 0, false};
    if (o->type == HELP_BOOL || is_truth(o->standard))
        return (struct range){SHAPE_TEXT_BOOL, 0, 0, false};
    if (read_number(o, &x, &is_whole)) {
        bool is_real = m && (m->is_share || m->shape == SHAPE_LOG); /* --lr 1 is no whole number */
        return is_whole && !(is_real && o->type != HELP_INT) ? whole_range(x) : real_range(m, x);
    }
    if (m && !o->standard[0] && o->type != HELP_TEXT)
        return (struct range){m->shape, m->low, m->high, true};
    return (struct range){.shape = SHAPE_NONE};
}

/* ---- texts that YAML takes ----------------------------------------------------------- */

/* A character that may stand in a comment or between quotes, and ends no line. */
static bool is_shown(uint32_t c)
{
    return (c >= 0x20 && c < 0x7f) || (c >= 0xa0 && c < 0xd800 && c != 0x2028 && c != 0x2029) ||
           (c >= 0xe000 && c < 0xfffe && c != 0xfeff);
}

static void put_comment(struct text *t, const char *words, size_t size)
{
    const char *end = words + strnlen(words, size);
    uint32_t code;
    for (size_t len; words < end; words += len) {
        len = text_utf8(words, &code);
        bool fits = len > 0 && words + len <= end && is_shown(code);
        len = len > 0 ? len : 1;
        text_add(t, fits ? words : "?", fits ? len : 1);
    }
}

static bool is_quotable(const char *words)
{
    uint32_t code;
    for (size_t len; *words; words += len) {
        len = text_utf8(words, &code);
        if (len == 0 || !is_shown(code))
            return false;
    }
    return true;
}

/* Would YAML read it back as this text, without quotes? */
static bool is_plain(const char *words)
{
    struct value v;
    char copy[HELP_NAME_MAX + HELP_WORD_MAX];
    const char *first = words + strspn(words, "-./");
    if (!isalpha((unsigned char)*first) || words[strspn(words, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                          "0123456789_-./=")])
        return false;
    snprintf(copy, sizeof copy, "%s", words);
    return strlen(words) < sizeof copy && yaml_scalar_resolve(copy, &v) && v.kind == VALUE_TEXT;
}

static void put_text(struct text *t, const char *words)
{
    if (is_plain(words))
        text_puts(t, words);
    else
        text_json_string(t, words);
}

/* A number that is none but a float to every YAML: with a point, before an exponent too. */
static void put_number(struct text *t, double x)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.6g", x);
    size_t mantissa = strcspn(digits, "e");
    text_add(t, digits, mantissa);
    if (!memchr(digits, '.', mantissa))
        text_puts(t, ".0");
    text_puts(t, digits + mantissa);
}

/* ---- one option ---------------------------------------------------------------------- */

/* What it is, cut where its default or type is told.  False: there is nothing to say. */
static bool put_what(struct text *t, const struct help_option *o)
{
    static const char *const ends[] = {" (default", " [default", "(default", "[default", " (type:", "(type:"};
    size_t len = strlen(o->text);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *end = strstr(o->text, ends[i]);
        if (end && (size_t)(end - o->text) < len)
            len = (size_t)(end - o->text);
    }
    bool is_long = len > COMMENT_BYTES_MAX;
    len = is_long ? COMMENT_BYTES_MAX : len;
    while (is_long && len > 0 && (o->text[len] & 0xc0) == 0x80)
        len--;                  /* not within a character */
    put_comment(t, o->text, len);
    text_puts(t, is_long ? "..." : "");
    if (o->standard[0]) {
        text_puts(t, len > 0 ? " (default " : "default ");
        put_comment(t, o->standard, sizeof o->standard);
        text_puts(t, len > 0 ? ")" : "");
    }
    return len > 0 || o->standard[0];
}

/* "  lr:                # learning rate (default 0.01)" */
static void open_param(struct text *t, const struct help_option *o, const char *name, bool is_guess)
{
    size_t from = t->len;
    text_puts(t, "  ");
    put_text(t, name);
    text_puts(t, ":");
    if (o->text[0] || o->standard[0] || is_guess) {
        do
            text_puts(t, " ");
        while (!t->failed && t->len - from < COMMENT_COLUMN);
        text_puts(t, "# ");
        bool said = put_what(t, o);
        text_puts(t, !is_guess ? "" : said ? "; a guess: no default was told" : "a guess: no default was told");
    }
    text_puts(t, "\n");
}

/* Can all of them stand in a file? */
static bool choices_fit(const struct help_option *o)
{
    for (size_t i = 0; i < o->choice_count; i++)
        if (!is_quotable(o->choices[i]))
            return false;
    return true;
}

static bool is_whole_text(const char *words)
{
    size_t digits = strspn(words, "0123456789");
    return digits > 0 && digits < 16 && !words[digits] && (words[0] != '0' || digits == 1);
}

static void put_choices(struct text *t, const struct help_option *o)
{
    text_puts(t, "    values: [");
    for (size_t i = 0; i < o->choice_count; i++) {
        text_puts(t, i ? ", " : "");
        if (is_whole_text(o->choices[i]))
            text_puts(t, o->choices[i]);
        else
            put_text(t, o->choices[i]);
    }
    text_puts(t, "]\n");
}

static void put_powers(struct text *t, double middle)
{
    text_puts(t, "    values: [");
    for (int i = -2; i <= 2; i++)
        text_printf(t, "%s%.0f", i > -2 ? ", " : "", ldexp(middle, i));
    text_puts(t, "]\n");
}

static void put_bounds(struct text *t, const struct range *r)
{
    text_printf(t, "    distribution: %s\n    min: ", r->shape == SHAPE_LOG     ? "log_uniform_values"
                                                    : r->shape == SHAPE_UNIFORM ? "uniform" : "int_uniform");
    if (r->shape == SHAPE_WHOLE) {
        text_printf(t, "%.0f\n    max: %.0f\n", r->low, r->high);
        return;
    }
    put_number(t, r->low);
    text_puts(t, "\n    max: ");
    put_number(t, r->high);
    text_puts(t, "\n");
}

static bool is_on(const struct help_option *o)
{
    return o->off[0] && (strcasecmp(o->standard, "true") == 0 || strcmp(o->standard, o->name) == 0);
}

static void put_param(struct text *t, const struct help_option *o, const struct range *r)
{
    /* A switch that is on by default is varied by what turns it off. */
    bool is_off = r->shape == SHAPE_FLAG && is_on(o);
    open_param(t, o, is_off ? o->off : o->name, r->is_guess);
    switch (r->shape) {
    case SHAPE_FLAG: text_puts(t, "    values: [true, false]\n"); break;
    case SHAPE_TEXT_BOOL:
        text_puts(t, islower((unsigned char)o->standard[0]) ? "    values: [\"true\", \"false\"]\n"
                                                            : "    values: [\"True\", \"False\"]\n");
        break;
    case SHAPE_CHOICES: put_choices(t, o); break;
    case SHAPE_POWERS:  put_powers(t, r->high); break;
    default:            put_bounds(t, r);
    }
}

/* ---- the file ------------------------------------------------------------------------ */

struct draft {
    struct text *out;
    const struct draft_opts *opts;
    const struct help *help;
    int params;
    bool has_flag;
    const struct help_option *budget; /* what says how long a trial runs; NULL: nothing does */
    long long epochs;           /* its default */
};

/* Is it among the words that the command has anyway?  Then it is set, and not varied. */
static bool is_given(const struct draft *d, const char *name)
{
    size_t len = strlen(name);
    for (const char *const *arg = d->opts->args; *arg; arg++) {
        const char *word = *arg + strspn(*arg, "-");
        if (word > *arg && strncmp(word, name, len) == 0 && (!word[len] || word[len] == '='))
            return true;
    }
    return false;
}

static bool is_swept(const struct draft *d, const struct help_option *o, struct range *r)
{
    *r = find_range(o);
    return r->shape != SHAPE_NONE && !why_held(o) && !has_word(o->name, silent_words) && !is_given(d, o->name) &&
           choices_fit(o);
}

static void put_head(struct draft *d)
{
    struct text *t = d->out;
    text_puts(t, "# A first sweep, made of what the program's --help says.  To do:\n#\n"
                 "#   1. metric.name: what the program reports, such as loss or val_accuracy, by\n"
                 "#      wandb.log(), covey_report or, with `covey: {report: stdout}`, as lines\n"
                 "#      {\"step\": 5, \"loss\": 0.3} on its standard output\n"
                 "#   2. parameters: delete what you do not care for, and mend the ranges\n"
                 "#   3. covey sweep preview ");
    put_comment(t, d->opts->file, HELP_TEXT_MAX);
    text_puts(t, ", then: covey sweep run ");
    put_comment(t, d->opts->file, HELP_TEXT_MAX);
    text_puts(t, "\n");
    if (d->opts->program) {
        text_puts(t, "program: ");
        put_text(t, d->opts->program);
        text_puts(t, "\n");
    }
    text_puts(t, "method: random                # bayes learns from earlier trials, grid tries everything\n"
                 "metric:\n"
                 "  name: " DRAFT_METRIC "           # <-- fill in\n"
                 "  goal: minimize              # or maximize\n");
}

static void put_params(struct draft *d)
{
    struct range r;
    text_puts(d->out, "parameters:\n");
    for (size_t i = 0; i < d->help->count; i++) {
        const struct help_option *o = &d->help->options[i];
        if (!is_swept(d, o, &r))
            continue;
        put_param(d->out, o, &r);
        d->params++;
        d->has_flag = d->has_flag || r.shape == SHAPE_FLAG;
    }
}

static void put_held(struct draft *d, const struct help_option *o, const char *why)
{
    text_puts(d->out, "  #   ");
    text_printf(d->out, "%-24s", o->name);
    text_puts(d->out, "  ");
    bool said = put_what(d->out, o);
    text_printf(d->out, "%s%s\n", said ? "; " : "", why);
}

static void put_others(struct draft *d)
{
    bool first = true;
    struct range r;
    for (size_t i = 0; i < d->help->count; i++) {
        const struct help_option *o = &d->help->options[i];
        double x;
        bool is_whole;
        if (!d->budget && has_word(o->name, budget_words) && read_number(o, &x, &is_whole) && is_whole && x >= 1) {
            d->budget = o;
            d->epochs = (long long)x;
        }
        if (is_swept(d, o, &r) || has_word(o->name, silent_words))
            continue;
        if (first)
            text_puts(d->out, "  # Not varied (add what you want to, or set it in the command):\n");
        first = false;
        const char *why = why_held(o);
        put_held(d, o, is_given(d, o->name) ? "set in the command" : why ? why : "nothing is known of its values");
    }
    if (d->help->left_out > 0)
        text_printf(d->out, "  #   and %zu options more\n", d->help->left_out);
}

/* One word of the command. */
static void put_word(struct text *t, const char *word)
{
    text_puts(t, "  - ");
    put_text(t, word);
    text_puts(t, "\n");
}

/* How many of them are no options. */
static size_t count_words(const char *const *args)
{
    size_t count = 0;
    for (; *args; args++)
        count += **args != '-';
    return count;
}

static void put_command(struct draft *d)
{
    struct text *t = d->out;
    text_puts(t, "command:\n");
    if (d->opts->program)
        text_puts(t, "  - ${env}\n"
                     "  - ${interpreter}            # the active environment's python, where one is needed\n"
                     "  - ${program}\n");
    for (const char *const *arg = d->opts->args; *arg; arg++)
        put_word(t, *arg);
    for (size_t i = count_words(d->opts->args); i < d->help->word_count; i++) {
        text_puts(t, "  # - ");
        put_comment(t, d->help->words[i], HELP_WORD_MAX);
        text_puts(t, "               # <-- a word that the program's usage names, if it needs it\n");
    }
    if (d->budget && !is_given(d, d->budget->name))
        text_printf(t, "  # - --%s=%lld             # words of your own stand like this\n", d->budget->name, d->epochs);
    text_puts(t, d->has_flag ? "  - ${args_no_boolean_flags}  # --lr=0.1 --flag\n"
                             : "  - ${args}                   # --lr=0.1 --layers=3\n");
}

static void put_tail(struct draft *d)
{
    long long epochs = d->budget ? d->epochs : EPOCHS;
    text_printf(d->out,
                "early_terminate:              # all but the best third are stopped after this many\n"
                "  type: hyperband             # reports, and of what is left after 3, 9 ... times that\n"
                "  min_iter: %lld\n  eta: 3\nrun_cap: 32                   # trials\n",
                epochs >= 9 ? epochs / 9 : 1);
}

int draft_write(struct text *out, const struct draft_opts *opts, const struct help *help)
{
    struct draft d = {.out = out, .opts = opts, .help = help};
    put_head(&d);
    put_params(&d);
    put_others(&d);
    put_command(&d);
    put_tail(&d);
    return text_get(out) ? d.params : -1;
}
