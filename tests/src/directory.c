/*
 * An NSS source as sssd, winbind and LDAP's are: it knows one user, answers to the short name and to
 * the qualified one, and gives the qualified one as the name; and one group, in which alice is, who is
 * the host's own. While DOWN is there it says of groups what nslcd's says that is not running.
 * PASSWORD_HASH and DOWN are said by directory.rs.
 */
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <shadow.h>
#include <string.h>
#include <unistd.h>

#define NAME "carol@example.org"
#define UID 5000
#define GROUP "helpdesk"
#define GID 5001

static int is_carol(const char *name)
{
	return strcmp(name, NAME) == 0 || strcmp(name, "carol") == 0;
}

static enum nss_status passwd_of_carol(struct passwd *entry)
{
	*entry = (struct passwd){
		.pw_name = NAME,
		.pw_passwd = "x",
		.pw_uid = UID,
		.pw_gid = UID,
		.pw_gecos = "",
		.pw_dir = "/home/carol",
		.pw_shell = "/bin/bash",
	};
	return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_directory_getpwnam_r(const char *name, struct passwd *entry, char *buffer,
					  size_t size, int *error)
{
	return is_carol(name) ? passwd_of_carol(entry) : NSS_STATUS_NOTFOUND;
}

enum nss_status _nss_directory_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer,
					  size_t size, int *error)
{
	return uid == UID ? passwd_of_carol(entry) : NSS_STATUS_NOTFOUND;
}

enum nss_status _nss_directory_getspnam_r(const char *name, struct spwd *entry, char *buffer,
					  size_t size, int *error)
{
	if (!is_carol(name))
		return NSS_STATUS_NOTFOUND;
	*entry = (struct spwd){
		.sp_namp = NAME,
		.sp_pwdp = PASSWORD_HASH,
		.sp_lstchg = 20000,
		.sp_min = 0,
		.sp_max = 99999,
		.sp_warn = 7,
		.sp_inact = -1,
		.sp_expire = -1,
		.sp_flag = ~0ul,
	};
	return NSS_STATUS_SUCCESS;
}

static int is_down(int *error)
{
	*error = ENOENT;
	return access(DOWN, F_OK) == 0;
}

enum nss_status _nss_directory_getgrnam_r(const char *name, struct group *entry, char *buffer,
					  size_t size, int *error)
{
	static char *nobody[] = { NULL };

	if (is_down(error))
		return NSS_STATUS_UNAVAIL;
	if (strcmp(name, GROUP) != 0)
		return NSS_STATUS_NOTFOUND;
	*entry = (struct group){ .gr_name = GROUP, .gr_passwd = "x", .gr_gid = GID, .gr_mem = nobody };
	return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_directory_initgroups_dyn(const char *user, gid_t skipped, long int *count,
					      long int *room, gid_t **groups, long int limit,
					      int *error)
{
	if (is_down(error))
		return NSS_STATUS_UNAVAIL;
	if (strcmp(user, "alice") != 0 || *count >= *room)
		return NSS_STATUS_NOTFOUND;
	(*groups)[(*count)++] = GID;
	return NSS_STATUS_SUCCESS;
}
