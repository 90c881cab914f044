import Glibc
public import Wire

/// The program's own code in memory.
public enum ProgramPages {
  /// Once a start is over, gives up the code that it needed: most of what is mapped, and not used again. What is used is
  /// mapped again from the page cache, where a kernel that is short of memory drops first what nobody has mapped.
  ///
  /// Only what was read from a file and may not be written to: in this program nothing of that is ever changed.
  ///
  /// - Returns: how many mappings.
  @discardableResult
  public static func forget(after pause: Duration = .seconds(3), _ time: any TimeSource) async -> Int {
    guard (try? await time.sleep(for: pause)) != nil,
      let maps = try? DurableFile.read("/proc/self/maps", limit: 4 << 20)
    else { return 0 }
    return ranges(ofMaps: maps).count { range in
      madvise(UnsafeMutableRawPointer(bitPattern: range.lowerBound), range.count, MADV_DONTNEED) == 0
    }
  }

  /// The mappings of a `/proc/PID/maps` (proc_pid_maps(5)) that are code from files.
  static func ranges(ofMaps maps: [UInt8]) -> [Range<UInt>] {
    String(decoding: maps, as: UTF8.self).split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ", maxSplits: 5)
      guard fields.count == 6, fields[1] == "r-xp", fields[4] != "0", fields[5].drop(while: { $0 == " " }).first == "/"
      else { return nil }
      let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
      guard ends.count == 2, ends[0] < ends[1] else { return nil }
      return ends[0]..<ends[1]
    }
  }
}
