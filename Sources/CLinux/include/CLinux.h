#ifndef CLINUX_H
#define CLINUX_H
#include "CLinuxChecksum.h"
#include "CLinuxFileSystem.h"
#include "CLinuxFuse.h"
#include "CLinuxProcess.h"
#include "CLinuxSourceTree.h"
#endif
