// Preloaded into a program, lets it see an older processor than the one it runs on: what CPUID says is said without the vector instructions
// that the variable OLDER_PROCESSOR rules out ("avx2": nothing after AVX2; "sse2": no AVX at all). The program then chooses the loops that it
// would choose there, and runs them at the machine's own speed.
//
// Linux lets a process make CPUID fault where the processor can (`cpuid_fault` in /proc/cpuinfo); threads and forked processes inherit that,
// a program that is started loses it and sets it again from here. The fault is a SIGSEGV at the instruction; any other SIGSEGV goes the way
// that it would go without this.
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_SET_CPUID = 0x1012 };

static int without_avx;

static int answer_cpuid(int yes) { return (int)syscall(SYS_arch_prctl, ARCH_SET_CPUID, yes); }

// The bits of Intel's manual, volume 2, CPUID.
static void rule_out(uint32_t leaf, uint32_t subleaf, uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d) {
    const uint32_t avx512_b = 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31;
    const uint32_t avx512_c = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14;
    const uint32_t avx512_and_amx_d = 1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25;
    if (leaf == 1 && without_avx) {
        *c &= ~(1u << 12 | 1u << 28 | 1u << 29); // FMA, AVX, F16C
    } else if (leaf == 7 && subleaf == 0) {
        *b &= ~avx512_b;
        *c &= ~avx512_c;
        *d &= ~avx512_and_amx_d;
        if (without_avx) {
            *b &= ~(1u << 5);             // AVX2
            *c &= ~(1u << 9 | 1u << 10);  // AES and carry-less products of whole vectors
        }
    } else if (leaf == 7 && subleaf == 1) {
        *a = *b = *c = *d = 0; // AVX-512 of bf16, AVX10 and all that is younger than AVX2
    }
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *instruction = (const uint8_t *)registers[REG_RIP];
    // The kernel speaks for itself (SI_KERNEL) where no address was at fault; the instruction can be read then, since it was begun.
    if (info->si_code != SI_KERNEL || instruction[0] != 0x0f || instruction[1] != 0xa2) {
        signal(signal_number, SIG_DFL); // Returning does the same again, and ends the program.
        return;
    }
    uint32_t leaf = (uint32_t)registers[REG_RAX], subleaf = (uint32_t)registers[REG_RCX], a, b, c, d;
    answer_cpuid(1);
    __cpuid_count(leaf, subleaf, a, b, c, d);
    answer_cpuid(0);
    rule_out(leaf, subleaf, &a, &b, &c, &d);
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void begin(void) {
    const char *wanted = getenv("OLDER_PROCESSOR");
    if (wanted == NULL) {
        return;
    }
    without_avx = strcmp(wanted, "sse2") == 0;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if ((!without_avx && strcmp(wanted, "avx2") != 0) || sigaction(SIGSEGV, &action, NULL) != 0 || answer_cpuid(0) != 0) {
        static const char fault[] = "OLDER_PROCESSOR: this processor or kernel cannot do that\n";
        (void)!write(STDERR_FILENO, fault, sizeof fault - 1);
        _exit(125);
    }
}
