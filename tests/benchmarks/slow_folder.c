/* A shared folder on a file system under load, for programs that are started with this library preloaded:
   each open and each stat of what lies under SLOW_FOLDER waits for a server that serves one at a time, in SLOW_US
   microseconds, and each read for a link of SLOW_MB_PER_S. The server is a lock on the file SLOW_SERVER, which also holds
   the numbers of opens and of stats so far. What the dynamic loader opens itself is not seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int server = -1;
static uint64_t *numbers;
static char slow[65536];

static int real_open(const char *path, int flags, mode_t mode) {
    static int (*real)(const char *, int, ...);
    if (!real) real = dlsym(RTLD_NEXT, "open64");
    return real(path, flags, mode);
}
static void wait_for_server(useconds_t us) {
    flock(server, LOCK_EX);
    usleep(us);
    flock(server, LOCK_UN);
}
static int counted(const char *path, int which) {
    const char *folder = getenv("SLOW_FOLDER"), *place = getenv("SLOW_SERVER"), *us = getenv("SLOW_US");
    if (!folder || !place || !us || !path || strncmp(path, folder, strlen(folder))) return 0;
    int before = errno;
    if (server < 0) {
        server = fcntl(real_open(place, O_RDWR | O_CLOEXEC, 0), F_DUPFD_CLOEXEC, 900);
        numbers = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, server, 0);
    }
    __atomic_fetch_add(&numbers[which], 1, __ATOMIC_RELAXED);
    wait_for_server(atoi(us));
    errno = before;
    return 1;
}
#define OPEN(NAME, ARGUMENTS, CALL) \
    int NAME ARGUMENTS { \
        static int (*real) ARGUMENTS; \
        if (!real) real = dlsym(RTLD_NEXT, #NAME); \
        mode_t mode = 0; \
        if (flags & O_CREAT) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
        int is_slow = counted(path, 0), found = CALL; \
        if (found >= 0 && found < (int)sizeof slow) slow[found] = is_slow; \
        return found; \
    }
OPEN(open, (const char *path, int flags, ...), real(path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), real(path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), real(folder, path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), real(folder, path, flags, mode))
#define STAT(NAME, ARGUMENTS, ...) \
    int NAME ARGUMENTS { \
        static int (*real) ARGUMENTS; \
        if (!real) real = dlsym(RTLD_NEXT, #NAME); \
        counted(path, 1); \
        return real(__VA_ARGS__); \
    }
STAT(stat, (const char *restrict path, struct stat *restrict found), path, found)
STAT(stat64, (const char *restrict path, struct stat64 *restrict found), path, found)
STAT(lstat, (const char *restrict path, struct stat *restrict found), path, found)
STAT(lstat64, (const char *restrict path, struct stat64 *restrict found), path, found)
STAT(fstatat, (int folder, const char *restrict path, struct stat *restrict found, int flags), folder, path, found, flags)
STAT(fstatat64, (int folder, const char *restrict path, struct stat64 *restrict found, int flags), folder, path, found, flags)

ssize_t read(int number, void *to, size_t most) {
    static ssize_t (*real)(int, void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "read");
    ssize_t count = real(number, to, most);
    const char *speed = getenv("SLOW_MB_PER_S");
    if (count > 0 && speed && server >= 0 && number >= 0 && number < (int)sizeof slow && slow[number])
        wait_for_server(count / atoi(speed));
    return count;
}
int close(int number) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "close");
    if (number >= 0 && number < (int)sizeof slow) slow[number] = 0;
    return number == server && server >= 0 ? 0 : real(number);
}
