/* A libnvidia-ml.so.1 for tests: the real Python bindings (nvidia-ml-py) load it in the place of NVIDIA's.

   cc -shared -fPIC -Wl,-soname,libnvidia-ml.so.1 -o libnvidia-ml.so.1 fake_nvml.c

   FAKE_NVML_UUIDS="GPU-a,GPU-b" in the environment are its cards, in NVML's order; without it there is no driver. A UUID
   that begins with MIG- is an instance of the card before it. FAKE_NVML_LOST="GPU-b=2.5" lets a card fall off the bus so
   many seconds after the start. With -DOLD_DRIVER it lacks what drivers before 2018 lack.

   A process that has loaded it can set what a card says: fake_set, fake_fail, fake_lose; fake_calls counts the calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };
enum { UNSIGNED_INT = 1, UNSIGNED_LONG_LONG = 3 };
/* Field ids of NVML, and numbers of our own for what it tells by functions. */
enum {
    ECC_CORRECTED = 3, ECC_UNCORRECTED = 4, THROTTLED_POWER = 74, THROTTLED_LAST = 81, MEMORY_TEMPERATURE = 82, ENERGY = 83,
    NVLINK_TX = 138, NVLINK_RX = 139, POWER_AVERAGE = 185, POWER_INSTANT = 186, PCIE_TX = 197, PCIE_RX = 198,
    UTILIZATION = 300, MEMORY_UTILIZATION, MEMORY_USED, TEMPERATURE, SM_CLOCK, MEMORY_CLOCK, REASONS, POWER_USAGE, FIELDS
};

typedef struct { int code, type; unsigned long long value; double rate; } field;
typedef struct { char uuid[96]; unsigned parent; int lost; double lost_after; field fields[FIELDS]; } card;
static card cards[32];
static unsigned count, calls;
static double began;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static int copy(const char *text, char *into, unsigned length) {
    if (strlen(text) >= length) return INSUFFICIENT_SIZE;
    strcpy(into, text);
    return SUCCESS;
}

static int is_mig(const card *device) { return !strncmp(device->uuid, "MIG-", 4); }

static void has(card *device, int id, int type, unsigned long long value, double rate) {
    device->fields[id] = (field){SUCCESS, type, value, rate};
}

static void furnish(card *device) {
    for (int id = 0; id < FIELDS; id++) device->fields[id].code = NOT_SUPPORTED;
    has(device, MEMORY_USED, UNSIGNED_LONG_LONG, 6ull << 30, 0);
    if (is_mig(device)) return;
    has(device, ECC_CORRECTED, UNSIGNED_LONG_LONG, 0, 0);
    has(device, ECC_UNCORRECTED, UNSIGNED_LONG_LONG, 0, 0);
    for (int id = THROTTLED_POWER; id <= THROTTLED_LAST; id++) has(device, id, UNSIGNED_LONG_LONG, 0, 0);
    has(device, MEMORY_TEMPERATURE, UNSIGNED_INT, 62, 0);
    has(device, ENERGY, UNSIGNED_LONG_LONG, 5000000000ull, 300000);
#ifndef OLD_DRIVER
    has(device, POWER_AVERAGE, UNSIGNED_INT, 300000, 0);
    has(device, POWER_INSTANT, UNSIGNED_INT, 310000, 0);
    has(device, PCIE_TX, UNSIGNED_INT, 0, 250e6);
    has(device, PCIE_RX, UNSIGNED_INT, 0, 500e6);
    has(device, NVLINK_TX, UNSIGNED_LONG_LONG, 0, 40e6);
    has(device, NVLINK_RX, UNSIGNED_LONG_LONG, 0, 40e6);
#endif
    has(device, UTILIZATION, UNSIGNED_INT, 97, 0);
    has(device, MEMORY_UTILIZATION, UNSIGNED_INT, 41, 0);
    has(device, TEMPERATURE, UNSIGNED_INT, 58, 0);
    has(device, SM_CLOCK, UNSIGNED_INT, 1410, 0);
    has(device, MEMORY_CLOCK, UNSIGNED_INT, 1215, 0);
    has(device, REASONS, UNSIGNED_LONG_LONG, 0, 0);
    has(device, POWER_USAGE, UNSIGNED_INT, 305000, 0);
}

static int lost(const card *device) {
    const card *whole = &cards[device->parent];
    return whole->lost || (whole->lost_after && now() - began > whole->lost_after);
}

static int ask(const card *device, int id, unsigned long long *value) {
    const field *asked = &device->fields[id];
    if (lost(device)) return GPU_IS_LOST;
    *value = asked->value + (unsigned long long)(asked->rate * (now() - began));
    if (asked->type == UNSIGNED_INT) *value = (unsigned)*value; /* it goes round */
    return asked->code;
}

static int ask_unsigned(const card *device, int id, unsigned *value) {
    unsigned long long wide = 0;
    int code = ask(device, id, &wide);
    calls++;
    if (code == SUCCESS) *value = (unsigned)wide;
    return code;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *said = getenv("FAKE_NVML_UUIDS"), *losing = getenv("FAKE_NVML_LOST");
    if (!said) return DRIVER_NOT_LOADED;
    if (began) return SUCCESS;
    began = now();
    for (unsigned parent = 0; *said && count < 32; count++) {
        size_t length = strcspn(said, ",");
        card *device = &cards[count];
        snprintf(device->uuid, sizeof device->uuid, "%.*s", (int)length, said);
        device->parent = parent = is_mig(device) ? parent : count;
        length = strlen(device->uuid);
        if (losing && !strncmp(losing, device->uuid, length) && losing[length] == '=') device->lost_after = atof(losing + length + 1);
        furnish(device);
        said += length + (said[length] == ',');
    }
    return SUCCESS;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *found) {
    *found = 0;
    for (unsigned i = 0; i < count; i++) *found += !is_mig(&cards[i]);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, card **device) {
    for (unsigned i = 0; i < count; i++)
        if (!is_mig(&cards[i]) && !index--) { *device = &cards[i]; return SUCCESS; }
    return INVALID_ARGUMENT;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, card **device) {
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(cards[i].uuid, uuid)) { *device = &cards[i]; return SUCCESS; }
    return NOT_FOUND;
}

int nvmlDeviceIsMigDeviceHandle(card *device, unsigned *answer) { *answer = is_mig(device); return SUCCESS; }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(card *device, card **whole) { *whole = &cards[device->parent]; return SUCCESS; }
int nvmlDeviceGetIndex(card *device, unsigned *index) { *index = (unsigned)(device - cards); return SUCCESS; }
int nvmlDeviceGetUUID(card *device, char *uuid, unsigned length) { return copy(device->uuid, uuid, length); }
int nvmlDeviceGetName(card *device, char *name, unsigned length) { (void)device; return copy("Emulated GPU", name, length); }
int nvmlSystemGetDriverVersion(char *version, unsigned length) { return copy("535.0", version, length); }

int nvmlDeviceGetUtilizationRates(card *device, unsigned rates[2]) {
    int code = ask_unsigned(device, UTILIZATION, &rates[0]);
    return code ? code : ask_unsigned(device, MEMORY_UTILIZATION, &rates[1]);
}
int nvmlDeviceGetMemoryInfo(card *device, unsigned long long memory[3]) {
    calls++;
    memory[0] = 40ull << 30;
    int code = ask(device, MEMORY_USED, &memory[2]);
    memory[1] = memory[0] - memory[2];
    return code;
}
int nvmlDeviceGetTemperature(card *device, int sensor, unsigned *value) { (void)sensor; return ask_unsigned(device, TEMPERATURE, value); }
int nvmlDeviceGetClockInfo(card *device, int type, unsigned *value) { return ask_unsigned(device, type == 2 ? MEMORY_CLOCK : SM_CLOCK, value); }
int nvmlDeviceGetPowerUsage(card *device, unsigned *value) { return ask_unsigned(device, POWER_USAGE, value); }
int nvmlDeviceGetCurrentClocksThrottleReasons(card *device, unsigned long long *value) { calls++; return ask(device, REASONS, value); }

#ifndef OLD_DRIVER
typedef struct { unsigned id, scope; long long timestamp, latency; int type, code; unsigned long long value; } field_value;

int nvmlDeviceGetCurrentClocksEventReasons(card *device, unsigned long long *value) { calls++; return ask(device, REASONS, value); }
int nvmlDeviceGetFieldValues(card *device, int number, field_value *values) {
    calls++;
    if (lost(device)) return GPU_IS_LOST;
    for (int i = 0; i < number; i++) {
        field_value *one = &values[i];
        int links = one->id == NVLINK_TX || one->id == NVLINK_RX; /* counted a link, unless all are asked for */
        one->code = one->id >= UTILIZATION || (links && one->scope != ~0u) ? INVALID_ARGUMENT : ask(device, one->id, &one->value);
        if (one->code == SUCCESS) one->type = device->fields[one->id].type;
    }
    return SUCCESS;
}
#endif

/* What a test does to a card. */
void fake_set(unsigned index, int id, unsigned long long value) { cards[index].fields[id].value = value; cards[index].fields[id].rate = 0; }
void fake_fail(unsigned index, int id, int code) { cards[index].fields[id].code = code; }
void fake_lose(unsigned index, int is_lost) { cards[index].lost = is_lost; }
unsigned fake_calls(void) { return calls; }

const char *nvmlErrorString(int code) {
    switch (code) {
    case SUCCESS: return "Success";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}
