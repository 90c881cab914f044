/// `os/arch[/variant]` in the words that the platform arguments use.
///
/// Only what the language needs: the names are brought to the ones that the image specification uses, as BuildKit does
/// (`x86_64` is `amd64`, `arm64/v8` is `arm64`, `arm` is `arm/v7`).
struct PlatformWords: Equatable {
  var os: String
  var architecture: String
  var variant: String

  /// `nil` for what is no platform.
  init?(_ text: String) {
    let parts = text.lowercased().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard (1...3).contains(parts.count), parts.allSatisfy(PlatformWords.isWord) else { return nil }
    let systems: Set<String> = [
      "linux", "windows", "darwin", "macos", "freebsd", "netbsd", "openbsd", "dragonfly", "solaris", "illumos", "aix",
      "android", "ios", "js", "plan9", "wasip1",
    ]
    if parts.count == 1 {
      // A word alone is a system or an architecture of Linux.
      os = systems.contains(parts[0]) ? parts[0] : "linux"
      architecture = systems.contains(parts[0]) ? "" : parts[0]
      variant = ""
    } else {
      os = parts[0]
      architecture = parts[1]
      variant = parts.count == 3 ? parts[2] : ""
    }
    if os == "macos" { os = "darwin" }
    switch architecture {
    case "x86_64", "x86-64": architecture = "amd64"
    case "aarch64": architecture = "arm64"
    case "i386", "i686", "x86": architecture = "386"
    case "armhf":
      architecture = "arm"
      variant = "v7"
    case "armel":
      architecture = "arm"
      variant = "v6"
    default: break
    }
    switch (architecture, variant) {
    case ("amd64", "v1"), ("arm64", "v8"), ("arm64", "8"): variant = ""
    case ("arm", ""), ("arm", "7"): variant = "v7"
    case ("arm", "5"), ("arm", "6"), ("arm", "8"): variant = "v" + variant
    default: break
    }
  }

  private static func isWord(_ text: String) -> Bool {
    !text.isEmpty
      && text.utf8.allSatisfy { byte in
        byte.isLetter || byte.isDigit || byte == Byte.dash || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
      }
  }

  var text: String {
    [os, architecture, variant].filter { !$0.isEmpty }.joined(separator: "/")
  }
}
