import Glibc
import LinuxSystem
import OCI
import TestKit
import Testing

@testable import Layers

/// Layers from an overlay's upper directory, and the view on unpacked layers.
@Suite struct UpperLayerTests {
  private let folder = TemporaryFolder()

  private func make(_ name: String) throws -> String {
    try Directory.create("\(folder.path)/\(name)")
    return "\(folder.path)/\(name)"
  }

  private func write(_ text: String, _ name: String) throws { _ = try folder.write(Array(text.utf8), name) }

  private func whiteout(_ name: String) throws {
    try #require(mknod("\(folder.path)/\(name)", S_IFCHR | 0o600, 0) == 0)
  }

  private func paths(_ bytes: [UInt8]) throws -> [String] { try Member.all(bytes).map(\.entry.path) }

  @Test(.enabled(if: isRoot))
  func whiteoutsAndOpaqueFolders() throws {
    let upper = try make("upper/etc/new")
    try write("1", "upper/etc/new/file")
    try write("2", "upper/etc/-changed")
    try whiteout("upper/etc/old")
    try whiteout("upper/gone")
    _ = try make("upper/data")
    try write("3", "upper/data/only")
    try setAttribute("\(folder.path)/upper/data", "trusted.overlay.opaque", "y")
    try setAttribute("\(folder.path)/upper/data", "trusted.overlay.origin", "whatever")
    #expect(link("\(upper)/file", "\(folder.path)/upper/etc/zlink") == 0)
    #expect(symlink("/etc", "\(folder.path)/upper/sym") == 0)
    let bytes = try written(.upper(try SourceTree("\(folder.path)/upper"), lowers: nil))
    #expect(
      try paths(bytes) == [
        ".wh.gone", "data/", "data/.wh..wh..opq", "data/only", "etc/", "etc/.wh.old", "etc/-changed", "etc/new/",
        "etc/new/file", "etc/zlink", "sym",
      ])
    let members = try Member.all(bytes)
    #expect(members.allSatisfy { $0.entry.attributes.isEmpty })
    #expect(members[9].entry.kind == .hardLink && members[9].entry.target == "etc/new/file")
    // Unpacked again it is the same upper directory.
    let target = try make("target")
    var extractor = try LayerExtractor(root: target, label: "layer")
    try extractor.extract(MemorySource(bytes), limits: ImageLimits())
    let again = try Member.all(try written(.upper(try SourceTree(target), lowers: nil)))
    #expect(again.map(\.entry.path) == members.map(\.entry.path))
    for (a, b) in zip(members, again) where !a.entry.path.contains(".wh.") { #expect(a == b) }
  }

  /// The form of `userxattr` overlays, which needs no rights.
  @Test func whiteoutsAsAttributes() throws {
    _ = try make("upper/d")
    try write("", "upper/d/gone")
    try write("x", "upper/d/kept")
    do {
      try setAttribute("\(folder.path)/upper/d/gone", "user.overlay.whiteout", "y")
    } catch {
      // The file system of the temporary folder has no user attributes.
      return
    }
    try setAttribute("\(folder.path)/upper/d", "user.overlay.opaque", "y")
    try setAttribute("\(folder.path)/upper/d/kept", "user.note", "n")
    let tree = try SourceTree("\(folder.path)/upper")
    // Every program can set them: without `userxattr` they mean nothing, and are not written.
    let plain = try Member.all(try written(.upper(tree, lowers: nil)))
    #expect(plain.map(\.entry.path) == ["d/", "d/gone", "d/kept"])
    #expect(plain[0].entry.attributes.isEmpty && plain[1].entry.attributes.isEmpty)
    let members = try Member.all(try written(.upper(tree, lowers: nil, userAttributes: true)))
    #expect(members.map(\.entry.path) == ["d/", "d/.wh..wh..opq", "d/.wh.gone", "d/kept"])
    #expect(members[0].entry.attributes.isEmpty)
    #expect(members[3].entry.attributes == [FileAttribute(name: "user.note", value: Array("n".utf8))])
  }

  @Test func whatARuntimeMadeIsLeftOut() throws {
    for name in ["lower/etc", "lower/proc", "upper/etc/deep", "upper/proc", "upper/dev/pts", "upper/new"] {
      _ = try make(name)
    }
    try write("", "upper/etc/resolv.conf")
    try write("", "upper/etc/deep/hosts")
    try write("1", "upper/dev/file")
    let lowers = try LowerTree(["\(folder.path)/lower"])
    let tree = try SourceTree("\(folder.path)/upper")
    let excluding: Set<String> = ["etc/resolv.conf", "proc", "dev", "etc/deep/hosts"]
    // `etc` is as it was below but for its time, which changed only because of what is left out; `etc/deep` is new.
    #expect(
      try paths(try written(.upper(tree, lowers: lowers, excluding: excluding))) == ["etc/", "etc/deep/", "new/"])
    #expect(
      try paths(try written(.upper(tree, lowers: lowers, excluding: excluding.union(["etc/deep", "new"])))) == [])
    // A new mode is a change.
    #expect(chmod("\(folder.path)/upper/etc", 0o711) == 0)
    #expect(
      try paths(try written(.upper(tree, lowers: lowers, excluding: excluding.union(["etc/deep", "new"])))) == ["etc/"])
  }

  @Test(.enabled(if: isRoot))
  func dataThatStayedBelowIsFetched() throws {
    for name in ["lower/a", "upper/a"] { _ = try make(name) }
    try write("the data", "lower/a/file")
    try write("moved", "lower/origin")
    for (name, size) in [("upper/a/file", 8), ("upper/a/renamed", 5)] {
      try write("", name)
      #expect(truncate("\(folder.path)/\(name)", size) == 0)
      try setAttribute("\(folder.path)/\(name)", "trusted.overlay.metacopy", "")
      #expect(chmod("\(folder.path)/\(name)", 0o700) == 0)
    }
    try setAttribute("\(folder.path)/upper/a/renamed", "trusted.overlay.redirect", "/origin")
    let tree = try SourceTree("\(folder.path)/upper")
    let members = try Member.all(
      try written(.upper(tree, lowers: try LowerTree(["\(folder.path)/lower"]))))
    #expect(members.map(\.entry.path) == ["a/", "a/file", "a/renamed"])
    #expect(members[1].content == Array("the data".utf8) && members[1].entry.mode == 0o700)
    #expect(members[2].content == Array("moved".utf8))
    let error = #expect(throws: OCIError.self) { try written(.upper(tree, lowers: nil)) }
    #expect(error?.code == .unsupported && error?.message.contains("metacopy=off") == true)

    _ = try make("upper/renamed")
    try setAttribute("\(folder.path)/upper/renamed", "trusted.overlay.redirect", "/a")
    let redirected = #expect(throws: OCIError.self) {
      try written(.upper(tree, lowers: try LowerTree(["\(folder.path)/lower"])))
    }
    #expect(redirected?.message.contains("redirect_dir=off") == true)
  }

  @Test(.enabled(if: isRoot))
  func devicesAreRefused() throws {
    let upper = try make("upper")
    try #require(mknod("\(upper)/null", S_IFCHR | 0o666, 0x103) == 0)
    let tree = try SourceTree(upper)
    let error = #expect(throws: OCIError.self) { try written(.upper(tree, lowers: nil)) }
    #expect(error?.code == .unsupported)
    let bytes = try written(.upper(tree, lowers: nil)) { $0.allowsDevices = true }
    #expect(try Member.all(bytes)[0].entry.deviceMajor == 1)
  }

  @Test func namesThatMeanDeletionsAreRefused() throws {
    _ = try make("upper")
    try write("", "upper/.wh.x")
    #expect(throws: OCIError.self) { try written(.upper(try SourceTree("\(folder.path)/upper"), lowers: nil)) }
  }

  // MARK: Layers on top of one another

  @Test(.enabled(if: isRoot))
  func lowersAreMerged() throws {
    for name in ["top/a", "top/opaque", "bottom/a/b", "bottom/opaque", "bottom/usr/lib", "bottom/h"] {
      _ = try make(name)
    }
    try write("top", "top/a/file")
    try write("bottom", "bottom/a/file")
    try write("bottom", "bottom/a/b/deep")
    try write("x", "bottom/opaque/hidden")
    try write("x", "top/opaque/seen")
    try write("x", "bottom/h/x")
    try whiteout("top/a/c")
    try write("x", "bottom/a/c")
    try setAttribute("\(folder.path)/top/opaque", "trusted.overlay.opaque", "y")
    try write("a file over a folder", "top/h")
    #expect(symlink("usr/lib", "\(folder.path)/bottom/lib") == 0)
    #expect(symlink("/../lib/../lib", "\(folder.path)/top/way") == 0)
    #expect(symlink("loop", "\(folder.path)/top/loop") == 0)
    let tree = try LowerTree(["\(folder.path)/top", "\(folder.path)/bottom"])
    #expect(try tree.names("") == ["a", "h", "lib", "loop", "opaque", "usr", "way"])
    #expect(try tree.names("a") == ["b", "file"])
    #expect(try tree.names("opaque") == ["seen"])
    #expect(try tree.names("nowhere") == [])
    #expect(try tree.status("a/c") == nil)
    #expect(try tree.status("a/b/deep")?.size == 6)
    #expect(try tree.status("a/file")?.size == 3)
    #expect(try tree.status("opaque/hidden") == nil)
    #expect(try tree.status("h/x") == nil)
    #expect(try tree.status("a/file/x") == nil)
    #expect(try tree.resolve("way/foo") == "usr/lib/foo")
    #expect(try tree.resolve("/lib") == "usr/lib")
    #expect(try tree.resolve("../../a/./b/../new/x") == "a/new/x")
    #expect(throws: OCIError.self) { try tree.resolve("loop/x") }
    let location = try #require(try tree.location("a/b/deep"))
    let bytes = try written(
      .entries([LayerEntry(path: "d", content: .file(location.tree, path: "a/b/deep"))], lowers: nil))
    #expect(try Member.all(bytes)[0].content == Array("bottom".utf8))
  }

  @Test func parentsAreAsTheyAreBelow() throws {
    let lower = try make("lower/var/www")
    #expect(chmod(lower, 0o2750) == 0)
    #expect(symlink("var", "\(folder.path)/lower/alias") == 0)
    let lowers = try LowerTree(["\(folder.path)/lower"])
    let members = try Member.all(
      try written(.entries([LayerEntry(path: "var/www/new/x", content: .bytes([]))], lowers: lowers)))
    #expect(members.map(\.entry.path) == ["var/", "var/www/", "var/www/new/", "var/www/new/x"])
    #expect(members[1].entry.mode == 0o2750)
    #expect(members[2].entry.mode == 0o755)
    let error = #expect(throws: OCIError.self) {
      try written(.entries([LayerEntry(path: "alias/x", content: .bytes([]))], lowers: lowers))
    }
    #expect(error?.code == .unsafePath)
  }
}
