#ifndef CLINUX_H
#define CLINUX_H
#include "CLinuxFileSystem.h"
#include "CLinuxFuse.h"
#include "CLinuxProcess.h"
#include "CLinuxSourceTree.h"
#endif
