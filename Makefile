# pam_mfa: a second factor for everything that asks PAM.
#
#   make demo      see it work: a host with sshd in a container, an enrolment, a login
#   make           build the module and the programs
#   make install   lay them out (see the variables below)
#   make deb       the Debian package, in target/deb or DEBS=DIRECTORY
#   make test      everything that can be tested, on this machine (root, Debian)
#   make test-confined   what people do where SELinux or AppArmor confines programs, in virtual machines; some minutes
#   make soak      an hour of logins while the resident verifier is killed again and again
#   make rpm       a package for Fedora and RHEL; prints its path
#   make arch      a package for Arch, not as root; prints its path
#   make sbom      what is linked into the programs, for those who keep account of it
#   make bench     what a login costs, beside google-authenticator's and pam_oath's; QUICK=1: a minute
#   make completions   write packaging/completions anew, after a change of the command line
#
# `make` and `make install` take the same variables, since the paths are compiled in. DESTDIR alone
# is not compiled in: it is where a package is put together.

PREFIX        ?= /usr
SYSCONFDIR    ?= /etc
LOCALSTATEDIR ?= /var
RUNSTATEDIR   ?= /run
BINDIR        ?= $(PREFIX)/bin
LIBEXECDIR    ?= $(PREFIX)/libexec
DOCDIR        ?= $(PREFIX)/share/doc/pam_mfa
MANDIR        ?= $(PREFIX)/share/man
UNITDIR       ?= $(PREFIX)/lib/systemd/system
# Where the AppArmor profile goes; /etc/apparmor.d has it enforced from the next boot on.
APPARMORDIR   ?= $(DOCDIR)/examples/apparmor.d
# Where libpam looks for modules: Debian has a directory for each architecture.
MULTIARCH     := $(shell gcc -print-multiarch 2>/dev/null)
SECURITYDIR   ?= $(if $(MULTIARCH),/usr/lib/$(MULTIARCH)/security,/usr/lib64/security)
# Where shells look for completions; Debian's zsh has a place of its own for packages.
BASHCOMPDIR   ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR    ?= $(PREFIX)/share/zsh/$(if $(MULTIARCH),vendor-completions,site-functions)
FISHCOMPDIR   ?= $(PREFIX)/share/fish/vendor_completions.d

# The stacks of pam.d, and the service mfa-setup among them: config/pam.d is for Debian, and there are
# pam.d-fedora and pam.d-arch.
PAM_STACKS    ?= config/pam.d

CARGO         ?= cargo
# Nothing in the programs tells where they were built, so two builds of a commit have the same bytes.
# So it takes no flags from the environment, as rpmbuild, makepkg and dpkg-buildpackage have them for C, and no
# time; flags of the command line, `make RUSTFLAGS=...`, it does.
NOT_TAKEN     := CFLAGS CPPFLAGS CXXFLAGS FCFLAGS FFLAGS LDFLAGS OBJCFLAGS OBJCXXFLAGS ASFLAGS SOURCE_DATE_EPOCH
ifeq ($(origin RUSTFLAGS),environment)
RUSTFLAGS     :=
endif
REMAPPED      := --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo --remap-path-prefix=$(CURDIR)=/pam_mfa
TARGET        := $(or $(CARGO_TARGET_DIR),target)/release
CACHE         := /var/cache/pam_mfa-tests

export PAM_MFA_VERIFIER    := $(LIBEXECDIR)/pam_mfa/mfa-verifier
export PAM_MFA_REAUTH      := $(LIBEXECDIR)/pam_mfa/mfa-reauth
export PAM_MFA_MAIL        := $(LIBEXECDIR)/pam_mfa/mfa-mail
export PAM_MFA_CONFIG      := $(SYSCONFDIR)/pam_mfa/config.toml
export PAM_MFA_KEY_FILE    := $(SYSCONFDIR)/pam_mfa/store.key
export PAM_MFA_STORE       := $(LOCALSTATEDIR)/lib/pam_mfa
export PAM_MFA_ROOT_SOCKET := $(RUNSTATEDIR)/pam_mfa/root.sock
export PAM_MFA_USER_SOCKET := $(RUNSTATEDIR)/pam_mfa/user.sock
PAM_SERVICE                := $(SYSCONFDIR)/pam.d/mfa-setup

# What is compiled in, so that an install without a compiler can see that it is what is wanted.
PATHS := $(PAM_MFA_VERIFIER) $(PAM_MFA_REAUTH) $(PAM_MFA_MAIL) $(PAM_MFA_CONFIG) $(PAM_MFA_KEY_FILE) \
         $(PAM_MFA_STORE) $(PAM_MFA_ROOT_SOCKET) $(PAM_MFA_USER_SOCKET)

CRATES := pam_mfa mfa-verifier mfa-reauth mfa-mail mfa-setup
UNITS := mfa-verifier.socket mfa-verifier.service \
         mfa-verifier-user.socket mfa-verifier-user@.service mfa-verifier-users.service
PAGES := $(notdir $(wildcard doc/man/*.[158]))
# The units' placeholders.
IN_UNITS := -e 's|@VERIFIER@|$(PAM_MFA_VERIFIER)|g' -e 's|@STORE@|$(PAM_MFA_STORE)|g' \
            -e 's|@CONFIG_DIRECTORY@|$(SYSCONFDIR)/pam_mfa|g' \
            -e 's|@ROOT_SOCKET@|$(PAM_MFA_ROOT_SOCKET)|g' -e 's|@USER_SOCKET@|$(PAM_MFA_USER_SOCKET)|g' \
            -e 's|@SOCKET_DIRECTORY@|$(RUNSTATEDIR)/pam_mfa|g'

# The profile's.
IN_PROFILE := $(IN_UNITS) -e 's|@LIBEXEC@|$(LIBEXECDIR)/pam_mfa|g' -e 's|@REAUTH@|$(PAM_MFA_REAUTH)|g' \
              -e 's|@STORE_PARENT@|$(patsubst %/,%,$(dir $(PAM_MFA_STORE)))|g'

.PHONY: all build install uninstall stage deb rpm arch sbom demo test test-confined bench soak completions clean help

all: build

build: $(TARGET)/THIRD-PARTY
	env $(NOT_TAKEN:%=-u %) RUSTFLAGS='$(strip $(RUSTFLAGS) $(REMAPPED))' $(CARGO) build --release --locked $(CRATES:%=-p %)
	@echo '$(PATHS)' > $(TARGET)/pam_mfa.paths

# The licences of what is linked in, which packages have to bring along.
$(TARGET)/THIRD-PARTY: Cargo.lock packaging/notices
	@mkdir -p $(@D)
	packaging/notices $(CRATES) > $@.new
	mv $@.new $@

# `sudo make install` after `make` needs no cargo, and must then not install other paths.
ifneq ($(shell command -v $(CARGO) 2>/dev/null),)
install: build
endif
install:
	@test "$$(cat $(TARGET)/pam_mfa.paths)" = '$(PATHS)' || { \
	    echo 'error: what was built has other paths in it; run make with the same variables' >&2; exit 1; }
	install -d -m 755 $(DESTDIR)$(SECURITYDIR) $(DESTDIR)$(LIBEXECDIR)/pam_mfa $(DESTDIR)$(BINDIR)
	install -m 644 $(TARGET)/libpam_mfa.so $(DESTDIR)$(SECURITYDIR)/pam_mfa.so
	install -m 755 $(TARGET)/mfa-verifier $(DESTDIR)$(PAM_MFA_VERIFIER)
	install -m 755 $(TARGET)/mfa-reauth $(DESTDIR)$(PAM_MFA_REAUTH)
	install -m 755 $(TARGET)/mfa-mail $(DESTDIR)$(PAM_MFA_MAIL)
	install -m 755 $(TARGET)/mfa-setup $(DESTDIR)$(BINDIR)/mfa-setup
	install -d -m 755 $(DESTDIR)$(SYSCONFDIR)/pam_mfa $(DESTDIR)$(SYSCONFDIR)/pam.d
# Policy and PAM service are the administrator's once they are there.
	test -e $(DESTDIR)$(PAM_MFA_CONFIG) || install -m 644 config/config.toml $(DESTDIR)$(PAM_MFA_CONFIG)
	test -e $(DESTDIR)$(PAM_SERVICE) || install -m 644 $(PAM_STACKS)/mfa-setup $(DESTDIR)$(PAM_SERVICE)
	install -d -m 755 $(DESTDIR)$(UNITDIR)
	for unit in $(UNITS); do \
	    sed -e '/@SANDBOX@/{r packaging/systemd/sandbox.conf' -e 'd}' \
	        -e '/@USERS_SANDBOX@/{r packaging/systemd/sandbox-users.conf' -e 'd}' packaging/systemd/$$unit \
	        | sed $(IN_UNITS) > $(DESTDIR)$(UNITDIR)/$$unit && \
	    chmod 644 $(DESTDIR)$(UNITDIR)/$$unit || exit 1; \
	done
	for page in $(PAGES); do \
	    install -d -m 755 $(DESTDIR)$(MANDIR)/man$${page##*.} && \
	    install -m 644 doc/man/$$page $(DESTDIR)$(MANDIR)/man$${page##*.} || exit 1; \
	done
	install -d -m 755 $(DESTDIR)$(BASHCOMPDIR) $(DESTDIR)$(ZSHCOMPDIR) $(DESTDIR)$(FISHCOMPDIR)
	install -m 644 packaging/completions/mfa-setup $(DESTDIR)$(BASHCOMPDIR)
	install -m 644 packaging/completions/_mfa-setup $(DESTDIR)$(ZSHCOMPDIR)
	install -m 644 packaging/completions/mfa-setup.fish $(DESTDIR)$(FISHCOMPDIR)
	install -d -m 755 $(DESTDIR)$(DOCDIR)/examples/pam.d $(DESTDIR)$(DOCDIR)/examples/sshd_config.d
	install -m 644 $(TARGET)/THIRD-PARTY $(DESTDIR)$(DOCDIR)
	install -m 644 config/config.toml $(DESTDIR)$(DOCDIR)/examples
	install -m 644 $(PAM_STACKS)/* $(DESTDIR)$(DOCDIR)/examples/pam.d
	install -m 644 config/sshd_config.d/* $(DESTDIR)$(DOCDIR)/examples/sshd_config.d
	for part in filter.d jail.d; do \
	    install -D -m 644 config/fail2ban/$$part/pam_mfa.conf \
	        $(DESTDIR)$(DOCDIR)/examples/fail2ban/$$part/pam_mfa.conf || exit 1; \
	done
	install -d -m 755 $(DESTDIR)$(APPARMORDIR)
	sed $(IN_PROFILE) packaging/apparmor/pam_mfa > $(DESTDIR)$(APPARMORDIR)/pam_mfa
	chmod 644 $(DESTDIR)$(APPARMORDIR)/pam_mfa

# Policy, key and store stay: they are the administrator's and the users'. So does a PAM service that
# somebody has changed.
uninstall:
	@! grep -ls '^[^#]*pam_mfa\.so' $(DESTDIR)$(SYSCONFDIR)/pam.d/* 2>/dev/null || { \
	    echo 'error: these files name pam_mfa.so, and would refuse every login without it' >&2; \
	    echo 'hint: take the lines out first: README.md, "Uninstall"' >&2; exit 1; }
	! cmp -s $(PAM_STACKS)/mfa-setup $(DESTDIR)$(PAM_SERVICE) || rm $(DESTDIR)$(PAM_SERVICE)
	rm -f $(DESTDIR)$(SECURITYDIR)/pam_mfa.so $(DESTDIR)$(BINDIR)/mfa-setup
	rm -f $(UNITS:%=$(DESTDIR)$(UNITDIR)/%) $(PAGES:%=$(DESTDIR)$(MANDIR)/man[158]/%)
	rm -f $(DESTDIR)$(BASHCOMPDIR)/mfa-setup $(DESTDIR)$(ZSHCOMPDIR)/_mfa-setup
	rm -f $(DESTDIR)$(FISHCOMPDIR)/mfa-setup.fish
	rm -f $(DESTDIR)$(APPARMORDIR)/pam_mfa
	rm -rf $(DESTDIR)$(LIBEXECDIR)/pam_mfa $(DESTDIR)$(DOCDIR)

# What `make install` lays out, in a directory of its own for the tests' containers. Prints where.
STAGE ?= $(CACHE)/stage-$(shell echo '$(CURDIR)' | cksum | cut -d' ' -f1)
stage:
	@rm -rf '$(STAGE)'
	@$(MAKE) --silent --no-print-directory install DESTDIR='$(STAGE)' >&2
	@echo '$(STAGE)'

# In a directory beside the tree, with what is built: cargo has nothing to do there. Prints where the package is.
DEBS        ?= $(or $(CARGO_TARGET_DIR),target)/deb
DEB_VERSION  = $(shell sed -n '1s/.*(\(.*\)).*/\1/p' packaging/debian/changelog)
DEB_TREE     = $(abspath $(DEBS))/pam-mfa-$(DEB_VERSION)
deb: build
	@rm -rf '$(DEB_TREE)'
	@mkdir -p '$(DEB_TREE)'
	@cp -R packaging/debian '$(DEB_TREE)/debian'
	@cd '$(DEB_TREE)' && env -u MAKEFLAGS -u MAKELEVEL CARGO=true PAM_MFA_TREE='$(CURDIR)' \
	    CARGO_TARGET_DIR='$(abspath $(or $(CARGO_TARGET_DIR),target))' dpkg-buildpackage --build=binary --no-sign >&2
	@rm -rf '$(DEB_TREE)'
	@ls '$(abspath $(DEBS))'/libpam-mfa_$(DEB_VERSION)_*.deb

# rpmbuild takes the tree as it is, and finds built what `make` has built. Prints where the package is.
RPM_TOPDIR ?= $(abspath $(TARGET)/../rpm)
rpm: build
	@rm -rf '$(RPM_TOPDIR)' && mkdir -p '$(RPM_TOPDIR)'
	@env -u MAKEFLAGS -u MAKELEVEL CARGO='$(CARGO)' CARGO_TARGET_DIR='$(abspath $(TARGET)/..)' \
	    rpmbuild --quiet -bb --build-in-place --define '_topdir $(RPM_TOPDIR)' --define '_buildhost localhost' $(RPM_FLAGS) \
	    packaging/rpm/pam_mfa.spec >&2
	@find '$(RPM_TOPDIR)/RPMS' -name 'pam_mfa-[0-9]*.rpm'

# makepkg does nothing as root, who is somebody else in a namespace of users. Prints where the package is.
ARCH_DIRECTORY ?= $(abspath $(TARGET)/../arch)
arch: build
	@rm -rf '$(ARCH_DIRECTORY)' && mkdir -p '$(ARCH_DIRECTORY)'
	@cd packaging/arch && env -u MAKEFLAGS -u MAKELEVEL CARGO='$(CARGO)' CARGO_TARGET_DIR='$(abspath $(TARGET)/..)' \
	    BUILDDIR='$(ARCH_DIRECTORY)' PKGDEST='$(ARCH_DIRECTORY)' \
	    PKGEXT=.pkg.tar.zst PACKAGER='The authors of pam_mfa <pam_mfa@example.org>' \
	    $(if $(filter 0,$(shell id -u)),unshare --map-user=1000 --map-group=1000) \
	    makepkg --force --nodeps --nocolor $(MAKEPKG_FLAGS) >&2
	@ls '$(ARCH_DIRECTORY)'/pam_mfa-*.pkg.tar.zst

demo:
	@tests/demo

test:
	@tests/run

test-confined:
	@tests/confined

# What is linked into each program, as CycloneDX: target/sbom. Installs the tool that writes it beside that. It also
# names a few crates that others could have used.
SBOM := $(or $(CARGO_TARGET_DIR),target)/sbom
sbom:
	test -x $(SBOM)/tool/bin/cargo-cyclonedx || \
	    $(CARGO) install --quiet --locked --root $(SBOM)/tool cargo-cyclonedx@0.5.7
	$(SBOM)/tool/bin/cargo-cyclonedx cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps \
	    --target "$$(rustc -vV | sed -n 's/^host: //p')" --override-filename sbom.cdx
	for crate in $(CRATES); do \
	    sed 's|$(CURDIR)|/pam_mfa|g' $$crate/sbom.cdx.json > $(SBOM)/$$crate.cdx.json || exit 1; \
	done
	rm -f */sbom.cdx.json

soak:
	@tests/soak

# RESULTS=DIRECTORY: where tables, values and plots go; target/bench otherwise.
bench:
	@tests/bench $(RESULTS)

completions:
	PAM_MFA_WRITE_COMPLETIONS=1 $(CARGO) test --locked -p mfa-setup the_completions_are_those_of_the_command_line

clean:
	$(CARGO) clean
	rm -rf --one-file-system $(CACHE)

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
