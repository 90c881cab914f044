import Testing
import Wire

@testable import LinuxSystem

@Suite struct ProgramPagesTests {
  @Test func onlyCodeFromFiles() {
    let maps = """
      55e0a1a00000-55e0a1a3c000 r--p 00000000 fe:00 1835020                    /usr/bin/apus
      55e0a1a3c000-55e0a1b00000 r-xp 0003c000 fe:00 1835020                    /usr/bin/apus
      55e0a1b00000-55e0a1b10000 rw-p 00100000 fe:00 1835020                    /usr/bin/apus
      55e0a2000000-55e0a2100000 rw-p 00000000 00:00 0                          [heap]
      7f0000000000-7f0000001000 rwxp 00000000 fe:00 77                         /tmp/changed
      7f0000002000-7f0000003000 r-xp 00000000 00:00 0
      7f0000004000-7f0000006000 r-xp 00000000 fe:00 78                         /usr/lib/a b.so (deleted)
      7f0000006000-7f0000007000 r-xs 00000000 fe:00 79                         /usr/lib/shared
      7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]
      nonsense
      7f0000009000-7f0000008000 r-xp 00000000 fe:00 78 /usr/lib/backwards.so

      """
    #expect(
      ProgramPages.ranges(ofMaps: Array(maps.utf8))
        == [0x55e0_a1a3_c000..<0x55e0_a1b0_0000, 0x7f00_0000_4000..<0x7f00_0000_6000])
  }

  /// Code that was given up is there when it is called.
  @Test func codeGoesOn() async throws {
    let maps = try DurableFile.read("/proc/self/maps", limit: 4 << 20)
    let given = ProgramPages.ranges(ofMaps: maps).count
    #expect(await ProgramPages.forget(after: .zero, SystemClock()) == given && given > 0)
    #expect(try JSON.parse("[1,2]") == [1, 2])
  }
}
