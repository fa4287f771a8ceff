# archive.sh, read by scripts here that have set `cache`, `suites` and `unavailable`: `apt TOOL ...` asks the archive that this
# machine already trusts, for those suites, with package lists and a cache of their own.
private=$cache/apt-$(echo "$suites" | tr ' ' -)
mkdir -p "$private/lists/partial" "$private/archives/partial"
chmod 755 "$cache" "$private"

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r $keyring ] || unavailable "no $keyring: packages are fetched on Debian only (package debian-archive-keyring)"
# shellcheck disable=SC2016
targets=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(LABEL) $(CREATED_BY) $(COMPONENT)' |
	sort -u)
{
	echo "$targets" | while read -r uri codename label kind component; do
		[ "$kind $component" = "Packages main" ] || continue
		case $label in
		Debian | "Debian Backports")
			for suite in $suites; do
				echo "deb [signed-by=$keyring] $uri $suite main"
			done
			;;
		Debian-Security)
			echo "deb [signed-by=$keyring] $uri $codename main"
			;;
		esac
	done
} | sort -u >"$private/sources.list"
[ -s "$private/sources.list" ] || unavailable "apt has no Debian archive configured on this machine"

apt() {
	tool=$1
	shift
	"$tool" -o Dir::Etc::sourcelist="$private/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::Etc::preferencesparts=- -o Dir::State::lists="$private/lists" \
		-o Dir::State::status=/dev/null -o Dir::Cache="$private" -o Dir::Cache::archives="$private/archives" \
		-o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Sandbox::User=root \
		-o Acquire::Languages=none -o Acquire::http::Timeout=30 -o Debug::NoLocking=true "$@"
}

# Suites that the archive does not carry (an older mirror) are no failure: the series decides.
apt apt-get update >"$private/update.log" 2>&1 || true
