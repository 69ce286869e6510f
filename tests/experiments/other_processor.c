/* Named in LD_AUDIT, answers CPUID inside one library as another processor would: its CPUID instructions become traps before anything
   of it runs, and what the processor says is given with the bits in CPUID_LIES changed. Linux on any x86-64: no CPUID faulting needed.
   CPUID_LIBRARY: the library's name. CPUID_AT: addresses of its CPUID instructions, hex, "," between. CPUID_LIES: "leaf.sub a b c d;"
   for each answer to change, hex: sub * for all, a register - to leave, ~bits to clear, else what to give. Exit status 9 on errors. */
#define _GNU_SOURCE
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static struct lie { unsigned leaf, sub, all, clear[4], set[4]; } lies[64], *end = lies;

static void answer(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *after = (const unsigned char *)registers[REG_RIP];
    if (after[-1] != 0xcc || after[0] != 0xa2) { /* a trap of the program's own */
        signal(SIGTRAP, SIG_DFL);
        raise(SIGTRAP);
        return;
    }
    unsigned leaf = registers[REG_RAX], sub = registers[REG_RCX], said[4] = {leaf, 0, sub, 0};
    __asm__ volatile("cpuid" : "+a"(said[0]), "=b"(said[1]), "+c"(said[2]), "=d"(said[3]));
    for (struct lie *lie = lies; lie < end; lie++)
        if (lie->leaf == leaf && (lie->all || lie->sub == sub))
            for (int i = 0; i < 4; i++) said[i] = (said[i] & ~lie->clear[i]) | lie->set[i];
    registers[REG_RAX] = said[0], registers[REG_RBX] = said[1], registers[REG_RCX] = said[2], registers[REG_RDX] = said[3];
    registers[REG_RIP] += 1;
}

unsigned la_version(unsigned version) {
    char *text = strdup(getenv("CPUID_LIES") ?: "");
    for (char *one; (one = strsep(&text, ";"));) {
        char sub[16], words[4][16];
        int read = sscanf(one, " %x.%15s %15s %15s %15s %15s", &end->leaf, sub, words[0], words[1], words[2], words[3]);
        if (read < 1) continue; /* after the last */
        if (read != 6 || end == lies + 63) _exit(9);
        end->all = *sub == '*', end->sub = strtoul(sub, 0, 16);
        for (int i = 0; i < 4; i++) {
            if (*words[i] == '-') continue;
            end->clear[i] = *words[i] == '~' ? strtoul(words[i] + 1, 0, 16) : ~0u;
            end->set[i] = *words[i] == '~' ? 0 : strtoul(words[i], 0, 16);
        }
        end++;
    }
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGTRAP, &action, 0);
    return LAV_CURRENT;
}

unsigned la_objopen(struct link_map *map, Lmid_t space, uintptr_t *cookie) { /* in memory, and no constructor has run */
    const char *name = strrchr(map->l_name, '/'), *wanted = getenv("CPUID_LIBRARY");
    if (!name || !wanted || strcmp(name + 1, wanted)) return 0;
    char *text = strdup(getenv("CPUID_AT") ?: "");
    for (char *one; (one = strsep(&text, ","));) {
        unsigned char *code = (unsigned char *)(map->l_addr + strtoul(one, 0, 16));
        void *page = (void *)((uintptr_t)code & -4096ul);
        if (mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) || code[0] != 0x0f || code[1] != 0xa2) _exit(9);
        code[0] = 0xcc; /* int3, and the A2 after it tells it from others */
        mprotect(page, 4096, PROT_READ | PROT_EXEC);
    }
    return 0;
}
