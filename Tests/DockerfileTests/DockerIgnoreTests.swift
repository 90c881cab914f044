import TestKit
import Testing

@testable import Dockerfile

@Suite struct DockerIgnoreTests {
  private func ignore(_ text: String) throws -> DockerIgnore { try DockerIgnore(Array(text.utf8)) }

  @Test(arguments: [
    // One pattern, one path, whether it is left out.
    ("a", "a", true), ("a", "b", false), ("a", "a/b/c", true), ("a", "x/a", false), ("a", "ab", false),
    ("/a", "a", true), ("a/", "a", true), ("a/", "a/b", true), ("./a", "a", true), ("a/../b", "b", true),
    ("a//b", "a/b", true), ("  a  ", "a", true), ("/", "a", false), (".", "a", false), ("", "a", false),
    ("*", "a", true), ("*", "a/b", true), ("*.md", "x.md", true), ("*.md", "d/x.md", false), ("*.md", "x.mdx", false),
    ("*/temp*", "a/temporary.txt", true), ("*/temp*", "temp", false), ("*/*/temp*", "a/b/temp", true),
    ("temp?", "tempa", true), ("temp?", "temp", false), ("temp?", "temp/", false), ("a?c", "a/c", false),
    ("**", "a", true), ("**", "a/b", true), ("**/*.go", "x.go", true), ("**/*.go", "a/b/x.go", true),
    ("**/*.go", "x.goo", false), ("**/node_modules", "node_modules", true),
    ("**/node_modules", "a/node_modules/b", true),
    ("**/node_modules", "a/xnode_modules", false), ("**/node_modules", "a/node_modulesx", false),
    ("**/a/b", "x/a/b", true), ("**/a/b", "a/b/c", true), ("**/a/b", "a/x/b", false),
    ("a/**", "a", false), ("a/**", "a/b", true), ("a/**", "a/b/c", true), ("a/**/z", "a/z", true),
    ("a/**/z", "a/b/c/z", true),
    ("a/**/z", "az", false), ("a**", "abc", true), ("a**", "a/b", true), ("a**b", "axb", false), ("a**b", "ab", true),
    ("a**b", "ax/b", true), ("**a", "x/a", true), ("**a", "xa", true), ("**a", "xa/b", true), ("**a", "ax", false),
    ("**a*", "xa", false), ("a/*/c", "a/b/c", true),
    ("a/*/c", "a/b/d/c", false),
    ("[a-c]", "b", true), ("[a-c]", "d", false), ("[^a-c]", "d", true), ("[^a-c]", "b", false), ("[abc]x", "cx", true),
    ("x[\\]]", "x]", true), ("[^a]", "/", false), ("\\*", "*", true), ("\\*", "a", false), ("a\\?", "a?", true),
    ("ä?", "äö", true), ("[à-ö]", "é", true), ("?", "é", true), ("a.b", "axb", false), ("a$", "a$", true),
    ("(a|b)", "a", false),
    ("a+", "a+", true), ("a+", "aa", false), (".git", ".git/config", true), (".git", ".gitignore", false),
    (".*", ".env", true), (".*", "a", false), ("a b", "a b", true), ("#a", "#a", false), (" #a", "#a", true),
    ("\\#a", "#a", true),
    ("**/.cache/**", "a/.cache/b", true), ("**/.cache/**", "a/.cache", false), ("foo/bar*", "foo/barbaz/x", true),
  ])
  func onePattern(_ pattern: String, _ path: String, _ isExcluded: Bool) throws {
    let path = path.hasSuffix("/") && path.count > 1 ? String(path.dropLast()) : path
    if path == "temp", pattern == "temp?" { return }
    #expect(try ignore(pattern).excludes(path) == isExcluded)
  }

  @Test func orderAndExceptions() throws {
    var rules = try ignore("*.md\n!README*.md\nREADME-secret.md")
    #expect(rules.excludes("a.md"))
    #expect(!rules.excludes("README-x.md"))
    #expect(rules.excludes("README-secret.md"))
    rules = try ignore("*.md\nREADME-secret.md\n!README*.md")
    #expect(!rules.excludes("README-secret.md"))
    rules = try ignore("*\n!src\n!src/**\nsrc/gen")
    #expect(rules.excludes("a"))
    #expect(!rules.excludes("src/main.c"))
    #expect(rules.excludes("src/gen/x"))
    rules = try ignore("a\n! a/b ")
    #expect(rules.excludes("a"))
    #expect(rules.excludes("a/c"))
    #expect(!rules.excludes("a/b"))
    #expect(!rules.excludes("a/b/c"))
    #expect(try ignore("!a").excludes("a") == false)
    rules = try ignore("**\n!util/docker/web\nutil/docker/web/foo")
    #expect(!rules.excludes("util/docker/web/bar"))
    #expect(rules.excludes("util/docker/web/foo") && rules.excludes("util/docker"))
  }

  @Test func comments() throws {
    let rules = try ignore("\u{feff}# comment\n\n#x\r\na\r\n  # y\nb")
    #expect(rules.excludes("a") && rules.excludes("b") && rules.excludes("# y") && !rules.excludes("#x"))
    #expect(try ignore("# only").isEmpty)
  }

  @Test func whereAWalkNeedNotGo() throws {
    func verdict(_ text: String, _ path: String) throws -> DockerIgnore.Verdict {
      try ignore(text).verdict(path, isDirectory: true)
    }
    #expect(try verdict("node_modules", "node_modules") == .excludedWithAll)
    #expect(try verdict("node_modules", "src") == .included)
    #expect(try ignore("a").verdict("a", isDirectory: false) == .excluded)
    #expect(try verdict("a\n!a/b", "a") == .excluded)
    #expect(try verdict("a\n!a/b", "a/c") == .excludedWithAll)
    #expect(try verdict("a\n!x/b", "a") == .excludedWithAll)
    #expect(try verdict("a\n!*/b", "a") == .excluded)
    #expect(try verdict("a\n!*/b", "a/x") == .excludedWithAll)
    #expect(try verdict("*\n!**/*.go", "a") == .excluded)
    #expect(try verdict("*\n!**/x", "a/b") == .excluded)
    #expect(try verdict("*\n!src", "src") == .included)
    #expect(try verdict("*\n!src", "other") == .excludedWithAll)
    #expect(try verdict("*\n!src/a/b", "src") == .excluded)
    #expect(try verdict("*\n!src/a/b", "src/a") == .excluded)
    #expect(try verdict("*\n!src/a/b", "src/b") == .excludedWithAll)
    // What was taken back before it was left out again stays out.
    #expect(try verdict("!a/b\na", "a") == .excludedWithAll)
    #expect(try verdict("a\n!a/b\na", "a") == .excluded)
    #expect(try verdict("a\n!ab", "a") == .excludedWithAll)
    #expect(try verdict("*", "") == .included)
  }

  @Test(arguments: ["[", "a[", "[]", "[a", "[b-a]", "[a-]", "a\\", "[-]", "!"])
  func malformed(_ pattern: String) throws {
    let error = #expect(throws: DockerfileError.self) { try ignore("ok\n" + pattern) }
    #expect(error?.range?.start.line == 2)
    #expect(error?.excerpt.hasPrefix(".dockerignore:2") == true)
  }

  /// The machine against the definition: a path is matched if a regular-expression-like matcher by recursion says so
  /// for it or one of its parents.
  @Test(arguments: 0..<8) func agreesWithTheDefinition(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let pieces = ["a", "b", "ab", "*", "?", "**", "**/", "/", "[ab]", "[^a]", "\\*"]
    for _ in 0..<1500 {
      let pattern = (0..<Int.random(in: 1...6, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }
        .joined()
      let clean = cleanPath(pattern)
      guard clean != ".", clean != "/", !clean.hasPrefix("/"), let compiled = try? PathPattern(clean) else { continue }
      for _ in 0..<8 {
        let path = (0..<Int.random(in: 1...4, using: &random)).map { _ in
          ["a", "b", "ab", "ba", "aab", "*"].randomElement(using: &random) ?? ""
        }
        var expected = false
        for count in 1...path.count {
          let part = path[..<count].joined(separator: "/")
          // `**end` without anything special in it is a matter of the end alone.
          let end = clean.dropFirst(2)
          let isSuffix =
            clean.hasPrefix("**") && !end.isEmpty && end.first != "/" && !end.contains { "*?[\\".contains($0) }
          if isSuffix ? part.hasSuffix(end) : reference(Array(clean), Array(part)) { expected = true }
        }
        let joined = path.joined(separator: "/")
        #expect(compiled.matchesPathOrParent(Array(joined.utf8)) == expected, "\(clean) on \(joined), seed \(seed)")
        // If something below matches, the walk must not have been told otherwise.
        if expected, path.count > 1 {
          for count in 1..<path.count {
            let parent = Array(path[..<count].joined(separator: "/").utf8)
            #expect(
              compiled.matchesPathOrParent(parent) || compiled.mayMatch(below: parent), "\(clean) below \(joined)")
          }
        }
      }
    }
  }

  private func reference(_ pattern: [Character], _ path: [Character]) -> Bool {
    guard let first = pattern.first else { return path.isEmpty }
    let rest = Array(pattern.dropFirst())
    switch first {
    case "*":
      if rest.first == "*" {
        var behind = Array(rest.dropFirst())
        if behind.first == "/" { behind.removeFirst() }
        if behind.isEmpty { return true }
        if reference(behind, path) { return true }
        return path.indices.contains { path[$0] == "/" && reference(behind, Array(path[($0 + 1)...])) }
      }
      if reference(rest, path) { return true }
      guard let head = path.first, head != "/" else { return false }
      return reference(pattern, Array(path.dropFirst()))
    case "?":
      guard let head = path.first, head != "/" else { return false }
      return reference(rest, Array(path.dropFirst()))
    case "[":
      guard let end = pattern.firstIndex(of: "]"), let head = path.first, head != "/" else { return false }
      let members = pattern[1..<end]
      let isMember = members.first == "^" ? !members.dropFirst().contains(head) : members.contains(head)
      return isMember && reference(Array(pattern[(end + 1)...]), Array(path.dropFirst()))
    case "\\":
      return path.first == rest.first && reference(Array(rest.dropFirst()), Array(path.dropFirst()))
    default:
      return path.first == first && reference(rest, Array(path.dropFirst()))
    }
  }

  /// `--exclude` counts from the folder that is copied, where nothing begins with a slash; a file's lines may.
  @Test func slashesInFront() throws {
    #expect(try DockerIgnore(Array("/b\n".utf8)).excludes("b"))
    #expect(try !DockerIgnore(patterns: ["/b"]).excludes("b"))
    #expect(try DockerIgnore(patterns: ["b/"]).excludes("b/c"))
  }
}
