/* embed.h - files of the source tree as bytes of the program, from NAME to NAME_end.
 *
 * The assembler copies them; it is started in the tree's root. */
#ifndef COVEY_SWEEP_EMBED_H
#define COVEY_SWEEP_EMBED_H

#define EMBED(name, path)                                                                           \
    __asm__(".pushsection .rodata\n" #name ":\n.incbin \"" path "\"\n" #name "_end:\n.popsection\n");  \
    extern const char name[] __attribute__((visibility("hidden")));                                  \
    extern const char name##_end[] __attribute__((visibility("hidden")))

#endif
