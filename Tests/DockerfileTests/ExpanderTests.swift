import Testing

@testable import Dockerfile

@Suite struct ExpanderTests {
  private static let values = [
    "foo": "foobarbaz", "empty": "", "str": "abc/def.tar.gz", "n": "1", "sp": "a  b", "uml": "äöü", "_x1": "y",
    "q": "it's", "star": "a*b*c",
  ]

  private func expander(escape: Character = "\\") -> Expander {
    Expander(escape: escape.asciiValue ?? 0) { Self.values[$0] }
  }

  @Test(arguments: [
    ("plain", "plain"), ("$n", "1"), ("${n}", "1"), ("a${n}b", "a1b"), ("$nb", ""), ("$n$n", "11"), ("$", "$"),
    ("a$", "a$"), ("$ x", "$ x"), ("$%", "$%"), ("$_x1-", "y-"), ("$12", ""), ("$1a", "a"), ("$?x", "x"),
    ("\\$n", "$n"), ("\\${n}", "${n}"), ("\\\\$n", "\\1"), ("'$n'", "$n"), ("\"$n\"", "1"), ("\"\\$n\"", "$n"),
    ("\"a\\b\"", "a\\b"), ("\"a\\\"b\"", "a\"b"), ("\"a\\\\b\"", "a\\b"), ("a\\b", "ab"), ("a\\ b", "a b"),
    ("'a\\'", "a\\"), ("\"'$n'\"", "'1'"), ("'\"'", "\""), ("x'y'z", "xyz"), ("''", ""), ("a\\", "a"),
    ("$sp", "a  b"), ("  $n  ", "  1  "),
    // Defaults.
    ("${n:-x}", "1"), ("${empty:-x}", "x"), ("${empty-x}", ""), ("${no:-x}", "x"), ("${no-x}", "x"),
    ("${n:+x}", "x"), ("${empty:+x}", ""), ("${empty+x}", "x"), ("${no:+x}", ""), ("${no+x}", ""),
    ("${no:-$n}", "1"), ("${no:-${empty:-${n}}}", "1"), ("${no:-'a b'}", "a b"), ("${no:-\"$n\"}", "1"),
    ("${no:-a\\}b}", "a}b"), ("${no:-}", ""), ("${n:?gone}", "1"), ("${empty?gone}", ""), ("\"${no:-x}\"", "x"),
    ("${no:-a:b-c}", "a:b-c"), ("${no:-/a/b}", "/a/b"),
    // Prefixes and suffixes.
    ("${foo#f*b}", "arbaz"), ("${foo##f*b}", "az"), ("${foo%b*}", "foobar"), ("${foo%%b*}", "foo"),
    ("${foo#x}", "foobarbaz"), ("${foo#foo}", "barbaz"), ("${foo%baz}", "foobar"), ("${foo#*}", "foobarbaz"),
    ("${foo##*}", ""), ("${foo%%*}", ""), ("${foo%*}", "foobarbaz"), ("${foo#?}", "oobarbaz"), ("${foo%??}", "foobarb"),
    ("${str%.*}", "abc/def.tar"), ("${str%%.*}", "abc/def"), ("${str##*/}", "def.tar.gz"), ("${str#*/}", "def.tar.gz"),
    ("${uml#?}", "öü"), ("${uml%?}", "äö"), ("${uml%ü}", "äö"), ("${star#a\\*}", "b*c"), ("${star##*\\*}", "c"),
    ("${no#x}", ""), ("${foo#$empty}", "foobarbaz"), ("${foo#${no:-foo}}", "barbaz"), ("${foo#f*a*a}", "z"),
    ("${star%%\\*?}", "a*b"), ("${str#abc\\/}", "def.tar.gz"),
    // Replacement.
    ("${foo/ba/fo}", "fooforbaz"), ("${foo//ba/fo}", "fooforfoz"), ("${foo/x/y}", "foobarbaz"),
    ("${foo//o/}", "fbarbaz"),
    ("${foo/o*a/-}", "f-z"), ("${foo//?a/.}", "foo.r.z"), ("${str/\\//-}", "abc-def.tar.gz"),
    ("${str//./_}", "abc/def_tar_gz"),
    ("${foo/ba/$n}", "foo1rbaz"), ("${foo/ba/\\}}", "foo\\}rbaz"), ("${no/a/b}", ""), ("${foo//*/x}", "x"),
    ("${star//\\*/+}", "a+b+c"), ("${uml//ö/o}", "äoü"), ("${foo//b/\\/}", "foo\\/ar\\/az"),
    ("${foo///x}", "foobarbaz"),
  ])
  func expand(_ text: String, _ expected: String) throws {
    var expander = expander()
    #expect(try expander.expand(text) == expected)
  }

  @Test(arguments: [
    ("${", "syntax error: missing '}'"), ("${n", "syntax error: missing '}'"), ("${n:-x", "syntax error: missing '}'"),
    ("${}", "bad substitution"), ("${:x}", "bad substitution"), ("${{n}}", "bad substitution"),
    ("${n:x}", "unsupported modifier (:x) in substitution"), ("${n!}", "unsupported modifier (!) in substitution"),
    ("${n:#x}", "unsupported modifier (:#)"), ("'a", "looking for matching single-quote"),
    ("\"a", "looking for matching double-quote"), ("${no:?}", "no: is not allowed to be unset"),
    ("${no?set no}", "no: set no"), ("${empty:?}", "empty: is not allowed to be empty"),
    ("${empty:?why $n}", "empty: why 1"),
    ("${foo/a}", "missing '/' in ${}"), ("${foo/a/b", "missing '}'"), ("${foo#\\a}", "invalid escape"),
    ("${no:-'a}", "single-quote"), ("${n:", "missing '}'"),
  ])
  func errors(_ text: String, _ part: String) {
    var expander = expander()
    let error = #expect(throws: DockerfileError.self) { try expander.expand(text) }
    #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
    #expect(error?.message.hasPrefix("failed to process ") == true)
  }

  @Test func words() throws {
    var expander = expander()
    #expect(try expander.words("80 $sp '$n x' \"a  b\" a\\ b") == ["80", "a", "b", "$n x", "a  b", "a b"])
    #expect(try expander.words("   ").isEmpty)
    #expect(try expander.words("'' x") == ["", "x"])
    #expect(try expander.words("$empty").isEmpty)
  }

  @Test func backtick() throws {
    var expander = expander(escape: "`")
    #expect(try expander.expand("c:\\$n`$n") == "c:\\1$n")
    #expect(try expander.expand("\"`\"\\\"") == "\"\\")
  }

  @Test func heredocText() throws {
    var expander = Expander(keepsQuotes: true) { Self.values[$0] }
    #expect(try expander.expand("\"quotes $n\"\n'$n'\n\\$n\n\\\\\n") == "\"quotes 1\"\n'1'\n$n\n\\\n")
  }

  @Test func undefined() throws {
    var expander = expander()
    _ = try expander.expand("$a ${b} ${c:-x} ${d+x} $a $n ${e#x} ${f/a/b}")
    #expect(expander.undefined == ["a", "b", "e", "f"])
    #expect(expander.used == ["n"])
  }

  @Test func bounds() {
    var deep = expander()
    let nested = String(repeating: "${no:-", count: 500) + String(repeating: "}", count: 500)
    #expect(throws: DockerfileError.self) { try deep.expand(nested) }
    let large = String(repeating: "x", count: 600_000)
    var growing = Expander { _ in large }
    let error = #expect(throws: DockerfileError.self) { try growing.expand("$a$a") }
    #expect(error?.code == .limit)
    // A pattern that would take for ever in a backtracking matcher.
    let text = String(repeating: "a", count: 50_000)
    var slow = Expander { _ in text }
    let late = #expect(throws: DockerfileError.self) {
      try slow.expand("${v%%" + String(repeating: "*a", count: 50) + "*b}")
    }
    #expect(late?.code == .limit)
  }
}
