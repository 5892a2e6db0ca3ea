/* registry.h - the tasks that this program has, and their signatures. */
#ifndef COVEY_CLIENT_REGISTRY_H
#define COVEY_CLIENT_REGISTRY_H

#include "core/types.h"

#define SIGNATURE_TYPES_MAX 64

/* "u64 f64... -> str": the types before and after the arrow. */
struct signature {
    uint8_t param[SIGNATURE_TYPES_MAX];     /* enum sig_type */
    uint8_t result[SIGNATURE_TYPES_MAX];
    uint32_t param_count, result_count;
    bool params_open;                       /* the last one any number of times */
};
enum sig_type { SIG_ANY, SIG_I64, SIG_U64, SIG_F64, SIG_STR, SIG_BYTES, SIG_HANDLE, SIG_TYPES };

struct task_def {
    const char *name, *text;
    covey_task_fn fn;
    struct signature signature;
};

const char *sig_type_name(enum sig_type type);
/* COVEY_ESIGNATURE with @why. */
covey_status signature_parse(const char *text, struct signature *out, char *why, size_t why_size);
/* The type of parameter @i; false beyond the last. */
bool signature_param(const struct signature *s, uint32_t i, enum sig_type *out);

/* NULL: this program has no such task.  A bad signature makes every look-up of
 * the task fail with @why. */
const struct task_def *registry_find(const char *name, char *why, size_t why_size);
/* "did you mean" for an unknown name; NULL if nothing is near. */
const char *registry_nearest(const char *name);

#endif
