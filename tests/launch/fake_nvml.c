/* A libnvidia-ml.so.1 for tests: the real Python bindings (nvidia-ml-py) load it in the place of NVIDIA's.

   cc -shared -fPIC -Wl,-soname,libnvidia-ml.so.1 -o libnvidia-ml.so.1 fake_nvml.c

   FAKE_NVML_UUIDS="GPU-a,GPU-b" in the environment are its cards, in NVML's order; without it there is no driver. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9 };

typedef struct { char uuid[96]; } card;
static card cards[16];
static unsigned count;

static int copy(const char *text, char *into, unsigned length) {
    if (strlen(text) >= length) return INSUFFICIENT_SIZE;
    strcpy(into, text);
    return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *said = getenv("FAKE_NVML_UUIDS");
    if (!said) return DRIVER_NOT_LOADED;
    count = 0;
    while (*said && count < 16) {
        size_t length = strcspn(said, ",");
        snprintf(cards[count++].uuid, sizeof cards->uuid, "%.*s", (int)length, said);
        said += length + (said[length] == ',');
    }
    return SUCCESS;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *found) { *found = count; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, card **device) {
    if (index >= count) return INVALID_ARGUMENT;
    *device = &cards[index];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, card **device) {
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(cards[i].uuid, uuid)) { *device = &cards[i]; return SUCCESS; }
    return NOT_FOUND;
}

int nvmlDeviceGetIndex(card *device, unsigned *index) { *index = (unsigned)(device - cards); return SUCCESS; }
int nvmlDeviceGetUUID(card *device, char *uuid, unsigned length) { return copy(device->uuid, uuid, length); }
int nvmlDeviceGetName(card *device, char *name, unsigned length) { (void)device; return copy("Emulated GPU", name, length); }
int nvmlSystemGetDriverVersion(char *version, unsigned length) { return copy("535.0", version, length); }

const char *nvmlErrorString(int code) {
    switch (code) {
    case SUCCESS: return "Success";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    default: return "Driver Not Loaded";
    }
}
