/* argv.c - see argv.h for the contract. */
#include "argv.h"

#include <stdarg.h>
#include <stdio.h>

void argv_add(struct argv *argv, const char *format, ...)
{
    va_list ap;
    assert(argv->count < ARGV_MAX);
    char *text = argv->text[argv->count];
    va_start(ap, format);
    int len = vsnprintf(text, ARGV_BYTES, format, ap);
    va_end(ap);
    assert(len < ARGV_BYTES);
    argv->list[argv->count++] = text;
    argv->list[argv->count] = NULL;
}

void argv_add_options(struct argv *argv, const struct cluster_options *o)
{
    if (o->cpus >= 0)
        argv_add(argv, "--cpus=%.3f", o->cpus);
    if (o->gpus >= 0)
        argv_add(argv, "--gpus=%.0f", o->gpus);
    if (o->memory_bytes)
        argv_add(argv, "--memory=%llu", (unsigned long long)o->memory_bytes);
    if (o->store_bytes)
        argv_add(argv, "--store=%llu", (unsigned long long)o->store_bytes);
    if (o->processes_max)
        argv_add(argv, "--processes=%llu", (unsigned long long)o->processes_max);
}
